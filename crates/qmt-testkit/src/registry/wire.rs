//! A proxy with faults on the wire: passes bytes on and, at one offset of what the server sends,
//! cuts, stalls or changes them.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::fault::Cut;
use super::thread::{Bound, Running};
use crate::error::TestkitError;

/// Most bytes that are passed on at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What a [`WireProxy`] does to the bytes that come from the server. Places are counted in bytes
/// from the last [`arm`](WireProxy::arm), over all answers and heads included.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WireFault {
    /// Nothing.
    #[default]
    None,
    /// Ends the connection after that many bytes.
    Cut(u64, Cut),
    /// Says nothing more on the connection after that many bytes, and leaves it open.
    Stall(u64),
    /// Changes the bytes at these places by exclusive or.
    Change(Vec<(u64, u8)>),
}

/// Passes TCP connections on to one server, byte by byte as they are, until a fault is armed.
///
/// Where a [`Fault`](crate::Fault) breaks a rule of HTTP, this breaks the line under it: any byte of
/// any answer, in the order in which they pass. A fault happens once; later bytes pass.
pub struct WireProxy {
    running: Running,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    target: Option<SocketAddr>,
    /// Counts the calls of `arm`, so that a connection from before has no more faults.
    round: u64,
    passed: u64,
    fault: WireFault,
}

/// What to do with a piece.
enum Verdict {
    Pass,
    /// Pass so many bytes, then end so.
    End(usize, Option<Cut>),
}

impl WireProxy {
    /// Listens on a free port of 127.0.0.1. Until a target is set, connections are ended at once.
    ///
    /// # Errors
    ///
    /// [`Bind`](TestkitError::Bind) if no port is free.
    pub fn start() -> Result<Self, TestkitError> {
        let state = Arc::new(State {
            script: Mutex::default(),
        });
        let bound = Bound::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let shared = Arc::clone(&state);
        let running = bound.run(move |listener| async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&shared)));
            }
        })?;
        Ok(Self { running, state })
    }

    /// Passes everything on to `target` from now on.
    pub fn forward_to(&self, target: SocketAddr) {
        self.state.script().target = Some(target);
    }

    /// Sets what goes wrong next, and restarts the count. Connections that are open already pass
    /// everything and are not counted.
    pub fn arm(&self, fault: WireFault) {
        let mut script = self.state.script();
        script.round += 1;
        script.passed = 0;
        script.fault = fault;
    }

    /// How many bytes came from the server since the last [`arm`](Self::arm).
    pub fn passed(&self) -> u64 {
        self.state.script().passed
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }
}

impl fmt::Debug for WireProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireProxy")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a piece that came on a connection of `round`, and does to it what is due.
    fn handle(&self, round: u64, piece: &mut [u8]) -> Verdict {
        let mut script = self.script();
        if script.round != round {
            return Verdict::Pass;
        }
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let start = script.passed;
        let end = start.saturating_add(length);
        script.passed = end;
        let inside = |place: u64| (start..end).contains(&place).then(|| place - start);
        let verdict = match &script.fault {
            WireFault::None => Verdict::Pass,
            WireFault::Cut(place, how) => match inside(*place) {
                Some(at) => Verdict::End(index(at), Some(*how)),
                None => Verdict::Pass,
            },
            WireFault::Stall(place) => match inside(*place) {
                Some(at) => Verdict::End(index(at), None),
                None => Verdict::Pass,
            },
            WireFault::Change(places) => {
                for (place, mask) in places {
                    let byte = inside(*place).and_then(|at| piece.get_mut(index(at)));
                    if let Some(byte) = byte {
                        *byte ^= mask;
                    }
                }
                Verdict::Pass
            }
        };
        if matches!(verdict, Verdict::End(..)) {
            script.fault = WireFault::None;
        }
        verdict
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

async fn pass(client: TcpStream, state: Arc<State>) {
    let (target, round) = {
        let script = state.script();
        (script.target, script.round)
    };
    let Some(target) = target else { return };
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    // Ports of this side are used up by drills of a hundred thousand connections otherwise.
    let _ = server.set_zero_linger();
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    tokio::select! {
        () = up(client_reads, server_writes) => {}
        () = down(server_reads, client_writes, &state, round) => {}
    }
}

/// From the client to the server, as it is, until the client ends.
async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let Some(bytes) = piece.get(..count) else {
            break;
        };
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
}

/// From the server to the client, until the script ends it.
async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, round: u64) {
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Some(piece) = buffer.get_mut(..count) else {
            break;
        };
        let verdict = state.handle(round, piece);
        let (length, end) = match verdict {
            Verdict::Pass => (count, None),
            Verdict::End(at, how) => (at, Some(how)),
        };
        let Some(bytes) = piece.get(..length) else {
            break;
        };
        if to.write_all(bytes).await.is_err() {
            break;
        }
        match end {
            None => {}
            // Open and silent until the client has had enough.
            Some(None) => std::future::pending::<()>().await,
            Some(Some(how)) => {
                if how == Cut::Reset {
                    let _ = to.as_ref().set_zero_linger();
                    // Otherwise dropping this half says an orderly end first.
                    to.forget();
                }
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(fault: WireFault) -> State {
        let script = Script {
            fault,
            ..Script::default()
        };
        State {
            script: Mutex::new(script),
        }
    }

    #[test]
    fn places_are_counted_over_all_pieces() {
        let state = armed(WireFault::Change(vec![(1, 1), (5, 0x80), (6, 2)]));
        let (mut one, mut two) = ([0; 4], [0; 4]);
        assert!(matches!(state.handle(0, &mut one), Verdict::Pass));
        assert!(matches!(state.handle(0, &mut two), Verdict::Pass));
        assert_eq!((one, two), ([0, 1, 0, 0], [0, 0x80, 2, 0]));
        assert_eq!(state.script().passed, 8);
    }

    #[test]
    fn a_cut_is_made_once_and_at_its_place() {
        let state = armed(WireFault::Cut(4, Cut::Fin));
        let mut piece = [0; 4];
        assert!(matches!(state.handle(0, &mut piece), Verdict::Pass));
        let cut = state.handle(0, &mut piece);
        assert!(matches!(cut, Verdict::End(0, Some(Cut::Fin))));
        assert!(matches!(state.handle(0, &mut piece), Verdict::Pass));
    }

    #[test]
    fn connections_of_before_are_left_alone() {
        let state = armed(WireFault::Stall(0));
        assert!(matches!(state.handle(7, &mut [0]), Verdict::Pass));
        assert_eq!(state.script().passed, 0);
        assert!(matches!(state.handle(0, &mut [0]), Verdict::End(0, None)));
    }
}
