//! Which file a program's name means.

use std::env;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The file that would be run: the path itself, or for a plain name the first that can be run of those in `PATH`. The error says what is
/// wrong and what to do.
pub(super) fn find(program: &str) -> Result<PathBuf, String> {
    if program.contains('/') {
        return runnable(Path::new(program)).map(|()| PathBuf::from(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = env::split_paths(&path).map(|folder| folder.join(program)).collect();
    if let Some(found) = candidates.iter().find(|file| runnable(file).is_ok()) {
        return Ok(found.clone());
    }
    Err(match candidates.iter().find(|file| file.is_file()) {
        Some(file) => format!("{} may not be executed by this user; correct its mode", file.display()),
        None => format!(
            "there is no {program} in PATH ({}); put it into Ripcord's image, or write its whole path",
            path.to_string_lossy()
        ),
    })
}

fn runnable(file: &Path) -> Result<(), String> {
    let shown = file.display();
    match file.metadata() {
        Err(e) => Err(format!("{shown}: {e}; put it into Ripcord's image, or correct argv in the step")),
        Ok(found) if !found.is_file() => Err(format!("{shown} is no file; correct argv in the step")),
        Ok(_) => access(file, Access::EXEC_OK)
            .map_err(|e| format!("{shown} may not be executed by this user ({e}); correct its mode")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        let found = find("sh").expect("every system has one");
        assert!(found.is_absolute() && found.ends_with("sh"), "{}", found.display());
        assert_eq!(find("/bin/sh"), Ok(PathBuf::from("/bin/sh")));
        let error = find("no-such-program").expect_err("there is none");
        assert!(error.starts_with("there is no no-such-program in PATH ("), "{error}");
        let error = find("/no/such/program").expect_err("there is none");
        assert!(error.starts_with("/no/such/program: No such file"), "{error}");
        let error = find("/bin/").expect_err("a folder");
        assert!(error.contains("is no file"), "{error}");
    }

    #[test]
    fn what_is_not_executable_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("move");
        fs::write(&file, "#!/bin/sh\n").expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("another mode");
        let name = file.to_string_lossy();
        let error = find(&name).expect_err("it is not executable");
        assert!(error.contains("may not be executed by this user"), "{error}");
        fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("another mode");
        assert_eq!(find(&name), Ok(file.clone()));
    }
}
