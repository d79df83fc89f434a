//! Native plugins that a test compiles, and what each of them must do.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qmt_loader::native::NativeLoader;
use qmt_loader::refusal::NativeRefusal;
use qmt_loader::{LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;

use crate::support::{artifact, fixtures, refusal};

/// A folder with what one test compiles.
pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn loader(&self) -> NativeLoader {
        NativeLoader::new(self.path("private"))
    }

    /// Where constructors of `variants.c` leave their mark.
    pub(crate) fn marker(&self) -> PathBuf {
        self.path("marker")
    }

    /// Compiles a file of `echo-c` into a shared library, unless `flags` say otherwise.
    pub(crate) fn compile(&self, source: &str, flags: &[&str]) -> Vec<u8> {
        let out = self.path("library.so");
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qmt-plugin-sdk/include");
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"])
            .arg(include)
            .arg("-o")
            .arg(&out)
            .arg(fixtures().join("echo-c").join(source))
            .args(flags)
            .output()
            .expect("a C compiler is needed");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        fs::read(out).unwrap()
    }

    pub(crate) fn variant(&self, flags: &[&str]) -> Vec<u8> {
        let marker = format!("-DMARKER=\"{}\"", self.marker().display());
        self.compile("variants.c", &[&[marker.as_str()], flags].concat())
    }

    /// Loads `bytes`, which must be refused, and checks that none of the code ran.
    pub(crate) async fn refuses(&self, bytes: Vec<u8>) -> NativeRefusal {
        let library = artifact(PluginKind::Native, bytes);
        let result = self.loader().load(library, LoadOptions::default()).await;
        assert!(!self.marker().exists(), "the constructor ran");
        match refusal(result) {
            LoadError::NativeRefused { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }
}
