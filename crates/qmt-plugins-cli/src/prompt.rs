//! Questions on the terminal.

use std::io::{self, BufRead as _, Read as _, Write as _};

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::session::apart;

/// Longest answer that is read, in bytes. A terminal passes on no longer line.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Asks for a line.
pub(crate) async fn line(question: &'static str) -> io::Result<Zeroizing<String>> {
    let read = apart(move || {
        // Stderr is not locked while the user types, so that Ctrl-C ends the command at once.
        let mut stderr = io::stderr();
        write!(stderr, "{question}: ")?;
        stderr.flush()?;
        let mut answer = Zeroizing::new(String::new());
        let stdin = io::stdin().lock();
        stdin.take(ANSWER_MAX_BYTES).read_line(&mut answer)?;
        Ok(Zeroizing::new(
            answer.trim_end_matches(['\r', '\n']).to_owned(),
        ))
    });
    read.await
}

/// Asks for a line that is not shown while it is typed.
pub(crate) async fn secret(question: &'static str) -> io::Result<Zeroizing<String>> {
    let _hidden = Hidden::new()?;
    line(question).await
}

/// Switches the echo of the terminal off until it is dropped, also if Ctrl-C ends the wait.
struct Hidden {
    #[cfg(unix)]
    before: Termios,
}

impl Hidden {
    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        let problem = "it would be visible here; pass it on stdin, with `--password-stdin`";
        Err(io::Error::new(io::ErrorKind::Unsupported, problem))
    }

    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        // It fails if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
