//! Single calls of WASI through `hostile-wasm/wasi-calls.wat`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{LoadError, Loader, Plugin};

use crate::support::{wasm, within};

/// Where the data of an input lies in the fixture's memory.
const DATA: u64 = 4176;
/// The arguments of a call.
const ARGUMENTS: usize = 9;

pub(crate) const SUCCESS: u64 = 0;
pub(crate) const NOT_SUPPORTED: u64 = 58;

pub(crate) const READ: u64 = 1 << 1;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const FOLLOW: u64 = 1;
pub(crate) const CREATE: u64 = 1;
pub(crate) const TRUNCATE: u64 = 8;

/// The functions in the order of the fixture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    PathOpen,
    PathCreateDirectory,
    PathRemoveDirectory,
    PathUnlinkFile,
    PathRename,
    PathLink,
    PathSymlink,
    PathFilestatSetTimes,
    PathFilestatGet,
    PathReadlink,
    FdFilestatSetTimes,
    FdFilestatSetSize,
    FdAllocate,
    FdWrite,
    FdPwrite,
    FdRead,
    FdRenumber,
    FdClose,
    FdFdstatSetRights,
    FdReaddir,
    PollOneoff,
    RandomGet,
}

/// A call that is put together: its arguments in order, and the data that they point to.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    function: Function,
    arguments: Vec<u64>,
    data: Vec<u8>,
}

impl Call {
    pub(crate) fn of(function: Function) -> Self {
        Self {
            function,
            arguments: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Adds a number.
    pub(crate) fn with(mut self, argument: u64) -> Self {
        self.arguments.push(argument);
        self
    }

    /// Adds a text: its address and its length.
    pub(crate) fn text(self, text: &str) -> Self {
        let length = u64::try_from(text.len()).unwrap();
        self.data(text.as_bytes()).with(length)
    }

    /// Adds the address of some bytes.
    pub(crate) fn data(mut self, bytes: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let address = DATA + u64::try_from(self.data.len()).unwrap();
        self.data.extend(bytes);
        self.with(address)
    }

    /// Adds one buffer: the address of its description, and the number of buffers.
    pub(crate) fn buffer(mut self, bytes: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let at = DATA + u64::try_from(self.data.len()).unwrap();
        for number in [at + 8, u64::try_from(bytes.len()).unwrap()] {
            self.data
                .extend(u32::try_from(number).unwrap().to_le_bytes());
        }
        self.data.extend(bytes);
        self.with(at).with(1)
    }

    pub(crate) fn input(&self) -> Bytes {
        assert!(self.arguments.len() <= ARGUMENTS);
        let number = self.function as u64;
        let mut arguments = self.arguments.clone();
        arguments.resize(ARGUMENTS, 0);
        let mut input: Vec<u8> = std::iter::once(number)
            .chain(arguments)
            .flat_map(u64::to_le_bytes)
            .collect();
        input.extend(&self.data);
        input.into()
    }

    /// Makes the call and returns the number of its error, and the first word of its result.
    pub(crate) async fn result(&self, plugin: &dyn Plugin) -> (u64, u64) {
        match plugin.call("call", self.input()).await {
            Ok(output) => words(&output),
            Err(error) => panic!("{self:?}: {error:?}"),
        }
    }

    /// Makes the call and returns the number of its error.
    pub(crate) async fn errno(&self, plugin: &dyn Plugin) -> u64 {
        self.result(plugin).await.0
    }

    /// Makes the call in all ways that the fixture can, until one fails; returns the number of that
    /// error and how many succeeded.
    pub(crate) async fn repeat(&self, plugin: &dyn Plugin) -> Result<(u64, u64), LoadError> {
        let output = plugin.call("open_all", self.input()).await?;
        Ok(words(&output))
    }
}

fn words(output: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(output[at..at + 8].try_into().unwrap());
    (word(0), word(8))
}

/// `path_open` that follows links.
pub(crate) fn open(folder: u64, path: &str, how: u64, rights: u64) -> Call {
    open_with(folder, FOLLOW, path, how, rights, 0)
}

pub(crate) fn open_with(
    folder: u64,
    follow: u64,
    path: &str,
    how: u64,
    rights: u64,
    flags: u64,
) -> Call {
    let call = Call::of(Function::PathOpen).with(folder).with(follow);
    call.text(path)
        .with(how)
        .with(rights)
        .with(rights)
        .with(flags)
}

/// Loads the fixture with these folders; its calls run in one instance and have five seconds each.
pub(crate) async fn load_with(folders: &[(String, &str)]) -> Arc<dyn Plugin> {
    let mut options = within(Duration::from_secs(5));
    let paths = folders
        .iter()
        .map(|(host, guest)| (host.into(), guest.into()));
    options.allow.paths = paths.collect::<BTreeMap<PathBuf, PathBuf>>();
    let loader = WasmLoader::builder().instances(1).build().unwrap();
    let artifact = wasm("hostile-wasm/wasi-calls.wat");
    loader.load(artifact, options).await.unwrap()
}
