//! A folder with objects, one file each: written whole or not at all, and read back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::kubernetes::{Manifest, ObjectRef};

/// Only for who made it: a Deployment can have secrets in its environment.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The largest file that is read. The API server takes no request beyond 3 MiB.
const MAX_BYTES: u64 = 3 * 1024 * 1024;

/// How deep folders are looked through. A backup has one level; the bound is for a folder that was not meant.
const MAX_DEPTH: usize = 8;

/// A file of a backup.
pub(super) struct Kept {
    pub(super) file: PathBuf,
    pub(super) manifest: Manifest,
}

/// Whether a backup can be written to a folder: it is not there, or empty. The error says what to do.
pub(super) fn check_free(dir: &Path) -> Result<(), String> {
    if dir.file_name().is_none() {
        return Err(format!("{} has no name of its own: name a folder that does not exist yet", dir.display()));
    }
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(format!("{} is not empty: a backup is not mixed with another; name a new folder", dir.display()))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(format!("{} cannot be written to: {e}; name a new folder", dir.display())),
    }
}

/// Writes objects into a folder that is free, and returns their files. `head` is the comment before each. When it fails, there is nothing.
pub(super) fn write(
    dir: &Path,
    manifests: &[Manifest],
    head: impl Fn(&ObjectRef) -> String,
) -> Result<Vec<PathBuf>, String> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut name = std::ffi::OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let unfinished = Unfinished(parent.join(name));
    let written = (|| {
        fs::create_dir_all(parent)?;
        make_folder(&unfinished.0)?;
        let mut files = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            let relative = file_of(&manifest.object);
            let path = unfinished.0.join(&relative);
            if let Some(folder) = path.parent()
                && !folder.exists()
            {
                make_folder(folder)?;
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
            file.write_all(comment(&head(&manifest.object)).as_bytes())?;
            file.write_all(manifest.yaml().as_bytes())?;
            file.sync_all()?;
            files.push(dir.join(relative));
        }
        // An empty folder makes room for it, any other does not.
        fs::rename(&unfinished.0, dir)?;
        // It is there now. Not every file system lets a folder be synced, and that is no reason to say that it is not.
        let _ = File::open(parent).and_then(|folder| folder.sync_all());
        Ok(files)
    })();
    written.map_err(|e: io::Error| {
        format!(
            "cannot write the folder {}: {e}; nothing is left there. Check the disk's room and permissions",
            dir.display()
        )
    })
}

/// A folder that is gone with this, if it was not given its name before.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // That it is gone is all that matters.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER_MODE).create(path)
}

/// Where an object is, below the folder.
fn file_of(object: &ObjectRef) -> PathBuf {
    let ObjectRef { kind, namespace, name } = object;
    Path::new(namespace).join(format!("{}-{name}.yaml", kind.as_str().to_lowercase()))
}

/// A comment of one line, whatever is in it.
fn comment(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {line}\n")
}

/// Reads all files below a folder that end in `.yaml`, in the order of their names. The error is everything that is wrong.
pub(super) fn read(dir: &Path) -> Result<Vec<Kept>, Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    collect(dir, MAX_DEPTH, &mut files, &mut problems);
    if files.is_empty() && problems.is_empty() {
        problems
            .push(format!("{}: there is no file *.yaml in it; name a folder that ripcord backup wrote", dir.display()));
    }
    let mut all: Vec<Kept> = Vec::with_capacity(files.len());
    for file in files {
        let read = read_file(&file).and_then(|text| Manifest::parse(&text));
        match read {
            Ok(manifest) => match all.iter().find(|kept| kept.manifest.object == manifest.object) {
                Some(first) => problems.push(format!(
                    "{}: holds {} again, which {} holds already; keep one of them",
                    file.display(),
                    manifest.object,
                    first.file.display()
                )),
                None => all.push(Kept { file, manifest }),
            },
            Err(problem) => problems.push(format!("{}: {problem}", file.display())),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn collect(dir: &Path, depth: usize, files: &mut Vec<PathBuf>, problems: &mut Vec<String>) {
    let mut say = |problem: &dyn std::fmt::Display| problems.push(format!("{}: {problem}", dir.display()));
    if depth == 0 {
        return say(&format!("is more than {MAX_DEPTH} folders deep; name a folder that ripcord backup wrote"));
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(dir).and_then(Iterator::collect);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(e) => return say(&format!("cannot be read as a folder: {e}")),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // Links to folders are not followed: they could lead round in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, depth - 1, files, problems);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

fn read_file(file: &Path) -> Result<String, String> {
    let cannot = |e: io::Error| format!("cannot be read: {e}");
    let mut text = String::new();
    File::open(file).map_err(cannot)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes, which no API server takes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn manifest(kind: &str, name: &str) -> Manifest {
        let api_version = if kind == "Deployment" { "apps/v1" } else { "v1" };
        let text = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: ns}}\n");
        Manifest::parse(&text).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_is_read_and_only_its_maker_may() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deeper/backup");
        let all = [manifest("ConfigMap", "web-config"), manifest("Deployment", "web")];
        let files = write(&dir, &all, |object| format!("{object} of\ntoday")).unwrap();
        let wanted = ["ns/configmap-web-config.yaml", "ns/deployment-web.yaml"].map(|file| dir.join(file));
        assert_eq!(files, wanted);
        assert!(
            fs::read_to_string(&files[1]).unwrap().starts_with("# Deployment ns/web of today\napiVersion: apps/v1\n")
        );
        assert_eq!([mode(&dir), mode(&dir.join("ns")), mode(&files[0])], [0o700, 0o700, 0o600]);
        let read: Vec<Manifest> =
            read(&dir).map_err(|e| e.join("\n")).unwrap().into_iter().map(|k| k.manifest).collect();
        assert_eq!(read, all);
        assert_eq!(fs::read_dir(root.path().join("deeper")).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_free_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("backup");
        fs::create_dir(&dir).unwrap();
        check_free(&dir).unwrap();
        fs::write(dir.join("mine"), "x").unwrap();
        assert!(check_free(&dir).unwrap_err().contains("is not empty"));
        assert!(check_free(&dir.join("mine")).unwrap_err().contains("cannot be written to"));
        assert!(check_free(Path::new("/")).unwrap_err().contains("has no name"));
        // Somebody was quicker.
        let error = write(&dir, &[manifest("Deployment", "web")], ToString::to_string).unwrap_err();
        assert!(error.contains("nothing is left there"), "{error}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        file("a.yaml", &manifest("ConfigMap", "web").yaml());
        file("b.yaml", &manifest("ConfigMap", "web").yaml());
        file("c.yaml", "kind: Secret");
        file("d.yaml", "a: [");
        file("e.txt", "no matter");
        fs::write(root.path().join("f.yaml"), [0xff]).unwrap();
        let problems = read(root.path()).err().unwrap();
        let wanted = [
            "b.yaml: holds ConfigMap ns/web again",
            "c.yaml: is Secret",
            "d.yaml: is no YAML",
            "f.yaml: cannot be read",
        ];
        assert_eq!(problems.len(), wanted.len(), "{problems:?}");
        for (problem, wanted) in problems.iter().zip(wanted) {
            assert!(problem.contains(wanted), "{problem}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert!(read(empty.path()).err().unwrap()[0].contains("there is no file *.yaml in it"));
        assert!(read(&empty.path().join("gone")).err().unwrap()[0].contains("cannot be read as a folder"));
    }
}
