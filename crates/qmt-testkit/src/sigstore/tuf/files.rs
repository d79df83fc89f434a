//! The files of a repository, as a server or a folder would hold them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::registry::PlainServer;

/// What a repository serves: metadata by name (`3.root.json`, `timestamp.json`), targets below
/// `targets/`.
///
/// A clone is a state to go back to: serving an older clone is a rollback, serving the same one
/// for too long is a freeze.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TufFiles {
    files: BTreeMap<String, Bytes>,
}

impl TufFiles {
    /// The file of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, name: &str, content: impl Into<Bytes>) {
        self.files.insert(name.to_owned(), content.into());
    }

    /// Removes a file, and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Bytes> {
        self.files.remove(name)
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// All files, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.files
            .iter()
            .map(|(name, content)| (name.as_str(), content))
    }

    /// Writes all files below `folder`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (name, content) in &self.files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, content)?;
        }
        Ok(())
    }

    /// Serves all files at `<url>/<prefix>/<name>`, in place of what was served there before.
    pub fn serve_on(&self, server: &PlainServer, prefix: &str) {
        server.replace(&format!("/{prefix}/"), &self.files);
    }
}
