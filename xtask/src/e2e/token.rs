//! A token server as distribution expects one: Basic in, a signed JWT out.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/jwt/>

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use qmt_testkit::{KeyKind, KeyPair};
use serde_json::{Value, json};

use super::servers::{PASSWORD, USER};

/// Issuer and service alike.
pub(super) const NAME: &str = "e2e";
const KEY_ID: &str = "e2e-key";
/// Bytes of a raw Ed25519 key, which end its public form.
const ED25519_BYTES: usize = 32;
const LIFETIME: Duration = Duration::from_mins(5);

/// Serves until it is dropped.
pub(super) struct TokenServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TokenServer {
    /// Starts it, and writes the key that its tokens are to be proven with to `jwks`.
    pub(super) fn start(jwks: &Path) -> anyhow::Result<Self> {
        let key = Arc::new(KeyPair::generate(KeyKind::Ed25519));
        let der = key.public_der();
        let raw = der.get(der.len().saturating_sub(ED25519_BYTES)..);
        let set = json!({ "keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(raw.unwrap_or_default()),
        }]});
        std::fs::write(jwks, set.to_string())?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let key = Arc::clone(&key);
                // A client may open a connection that it does not use; the others don't wait for it,
                // and one that goes away is no business of theirs.
                std::thread::spawn(move || stream.and_then(|stream| answer(&stream, &key)));
            }
        });
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// The realm that a registry names.
    pub(super) fn realm(&self) -> String {
        format!("http://localhost:{}/token", self.address.port())
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream, key: &KeyPair) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let mut allowed = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        allowed |= name.eq_ignore_ascii_case("authorization") && value.trim() == expected;
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let (status, body) = if !first.starts_with("GET ") {
        ("405 Method Not Allowed", json!({}))
    } else if allowed {
        ("200 OK", token(target, key))
    } else {
        ("401 Unauthorized", json!({}))
    };
    let body = body.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A token for all that the query asks for.
fn token(target: &str, key: &KeyPair) -> Value {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let claims = json!({
        "iss": NAME,
        "sub": USER,
        "aud": NAME,
        "exp": now + LIFETIME.as_secs(),
        "nbf": now.saturating_sub(60),
        "iat": now,
        "jti": now.to_string(),
        "access": access(target),
    });
    let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": KEY_ID });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    let token = format!("{signed}.{signature}");
    json!({ "token": token, "access_token": token, "expires_in": LIFETIME.as_secs() })
}

/// `repository:a/b:pull,push`, in one `scope` or several, as entries of the claim `access`.
fn access(target: &str) -> Vec<Value> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope="))
        .flat_map(|scope| {
            let scope = scope.replace("%3A", ":").replace("%2F", "/");
            let scope = scope.replace("%2C", ",").replace("%20", "+");
            scope.split('+').map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            let actions: Vec<&str> = actions.split(',').collect();
            Some(json!({ "type": kind, "name": name, "actions": actions }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_become_claims() {
        let asked =
            access("/token?service=e2e&scope=repository%3Aa%2Fb%3Apull%2Cpush+registry:x:*");
        assert_eq!(
            asked,
            [
                json!({"type": "repository", "name": "a/b", "actions": ["pull", "push"]}),
                json!({"type": "registry", "name": "x", "actions": ["*"]}),
            ]
        );
        assert!(access("/token?service=e2e").is_empty());
    }
}
