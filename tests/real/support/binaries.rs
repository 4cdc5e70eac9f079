//! Finds the real programs that the tests need and cargo does not bring. `tests/install.sh` puts them there.

use std::env;
use std::path::{Path, PathBuf};

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub prometheus: PathBuf,
    pub promtool: PathBuf,
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub alertmanager: PathBuf,
    /// `script` of util-linux, which makes a terminal.
    pub script: PathBuf,
    /// A browser without a window, and what drives it.
    pub chromium: PathBuf,
    pub chromedriver: PathBuf,
    /// axe-core: what judges whether everybody can use a page.
    pub axe: PathBuf,
    /// kubectl, which has kustomize in it.
    pub kubectl: PathBuf,
    /// The Python that has Helm as a library.
    pub python: PathBuf,
}

impl Binaries {
    /// Finds all of them, or says which are missing and what to do.
    pub fn find() -> Result<Self, String> {
        let assets = assets();
        let packages = python_packages();
        let in_python = |name: &str| packages.as_ref().and(cache()).map(|dir| dir.join("python-1/bin").join(name));
        let on_path = |name: &str| {
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|dir| dir.join(name)).find(|f| is_program(f))
        };
        let in_assets = |name: &str| assets.as_ref().map(|dir| dir.join(name)).filter(|f| is_program(f));
        let mut missing = Vec::new();
        let mut need = |name: &str, found: Option<PathBuf>| {
            found.unwrap_or_else(|| {
                missing.push(name.to_owned());
                PathBuf::new()
            })
        };
        let found = Self {
            prometheus: need("prometheus", on_path("prometheus")),
            promtool: need("promtool", on_path("promtool")),
            // The one beside the API server comes first: they were made for each other.
            etcd: need("etcd", in_assets("etcd").or_else(|| on_path("etcd"))),
            kube_apiserver: need("kube-apiserver", in_assets("kube-apiserver")),
            // Debian's name for it comes first.
            alertmanager: need(
                "prometheus-alertmanager",
                on_path("prometheus-alertmanager").or_else(|| on_path("alertmanager")),
            ),
            script: need("script", on_path("script")),
            chromium: need("chromium", on_path("chromium")),
            chromedriver: need("chromedriver", on_path("chromedriver")),
            axe: need(
                "axe.min.js",
                packages.as_ref().map(|dir| dir.join("axe_playwright_python/axe.min.js")).filter(|f| f.is_file()),
            ),
            kubectl: need("kubectl", in_python("kubectl").filter(|f| is_program(f))),
            python: need("helm", in_python("python").filter(|f| is_program(f))),
        };
        if missing.is_empty() {
            return Ok(found);
        }
        Err(format!(
            "These tests need real parts that are not here: {} (looked on PATH and in {}).\nRun make test (or tests/install.sh).",
            missing.join(", "),
            assets.as_deref().unwrap_or(Path::new("no folder, as HOME is not set")).display()
        ))
    }
}

/// The folder of kube-apiserver, by the same rules as `tests/install.sh`: an empty variable counts as unset.
fn assets() -> Option<PathBuf> {
    set("KUBEBUILDER_ASSETS").or_else(|| cache().map(|cache| cache.join("kubernetes-2")))
}

/// The folder that holds what the Python packages of `tests/install.sh` brought, once all of them are there.
pub fn python_packages() -> Option<PathBuf> {
    let environment = cache()?.join("python-1");
    if !environment.join("complete").exists() {
        return None;
    }
    // One folder, named by the version of Python.
    let versions = std::fs::read_dir(environment.join("lib")).ok()?.filter_map(Result::ok);
    versions.map(|version| version.path().join("site-packages")).find(|dir| dir.is_dir())
}

/// What is kept between runs, outside the tree.
fn cache() -> Option<PathBuf> {
    set("RIPCORD_TEST_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("ripcord")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/ripcord")))
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
