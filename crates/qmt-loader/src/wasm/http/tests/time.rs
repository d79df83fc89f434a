//! Deadlines, and futures that are dropped, in each phase of an exchange.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use super::server::serve_part;
use super::*;

const SHORT: Duration = Duration::from_millis(200);
const HEADERS: &str = "HTTP/1.1 200 OK\r\nx: y\r\n";
const BODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";

/// Sends a request that never ends by itself, and checks that the time of the call ends it.
fn times_out(state: &mut HttpState, url: &str) {
    let request = format!(r#"{{"url":"{url}"}}"#);
    let begin = Instant::now();
    let sent = send_json(state, &request, "", SHORT);
    assert!(matches!(sent, Err(HttpError::TimedOut)), "{sent:?}");
    let elapsed = begin.elapsed();
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    assert_eq!(state.status(), 0);
}

/// WASM-02: a server that does not answer costs no more than the time of the call.
#[test]
fn the_time_of_the_call_holds() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    times_out(
        &mut state(&[address.to_string()]),
        &format!("http://{address}/"),
    );
}

/// WASM-02: the deadline holds while the name is looked up, and during the TLS handshake.
#[test]
fn the_deadline_holds_while_connecting() {
    let mut slow = state(&["example.com".to_owned()]);
    slow.exchange.clients = Arc::new(Clients::new(Arc::new(|_| Box::pin(std::future::pending()))));
    times_out(&mut slow, "http://example.com/");
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    times_out(
        &mut state(&[address.to_string()]),
        &format!("https://{address}/"),
    );
}

/// WASM-02: the deadline holds in the middle of headers and of a body, and closes the connection.
#[test]
fn the_deadline_holds_while_receiving() {
    for part in ["", HEADERS, BODY] {
        let (address, server) = serve_part(part);
        times_out(
            &mut state(&[address.to_string()]),
            &format!("http://{address}/"),
        );
        assert_eq!(server.join().unwrap(), 0);
    }
}

/// WASM-02: redirects share one deadline.
#[test]
fn the_deadline_is_not_extended_by_redirects() {
    let (second, server) = serve_part("");
    let (first, _) = serve(vec![redirect(&format!("http://{second}/"))]);
    times_out(
        &mut state(&[first.to_string(), second.to_string()]),
        &format!("http://{first}/"),
    );
    assert_eq!(server.join().unwrap(), 0);
}

/// A deadline that has passed sends nothing; one that has not does.
#[test]
fn a_deadline_in_the_past_sends_nothing() {
    let (address, server) = serve(vec![ok("")]);
    let mut state = state(&[address.to_string()]);
    let request = |path: &str| format!(r#"{{"url":"http://{address}/{path}"}}"#);
    let sent = send_json(&mut state, &request("late"), "", Duration::ZERO);
    assert!(matches!(sent, Err(HttpError::TimedOut)), "{sent:?}");
    send_json(&mut state, &request("early"), "", LONG).unwrap();
    let seen = server.join().unwrap();
    assert!(seen[0].starts_with("GET /early "), "{seen:?}");
}

/// Dropping the future closes the connection at once, whatever the server has sent so far.
#[test]
fn dropping_the_future_closes_the_connection() {
    for part in ["", HEADERS, BODY] {
        let (address, server) = serve_part(part);
        let mut state = state(&[address.to_string()]);
        let request = format!(r#"{{"url":"http://{address}/"}}"#);
        let begin = Instant::now();
        let deadline = begin + LONG;
        let exchange = state.request(request.as_bytes(), Vec::new(), deadline);
        let exchange = exchange.unwrap();
        let (started, wait) = mpsc::channel();
        let poller = thread::spawn(move || {
            let mut exchange = Box::pin(exchange);
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(exchange.as_mut().poll(&mut context).is_pending());
            started.send(()).unwrap();
            thread::sleep(SHORT);
            drop(exchange);
        });
        wait.recv().unwrap();
        // The server reads to the end of the stream, which only the client can cause.
        assert_eq!(server.join().unwrap(), 0);
        assert!(begin.elapsed() < LONG / 2, "{:?}", begin.elapsed());
        poller.join().unwrap();
    }
}

/// A future that is never polled sends nothing.
#[test]
fn nothing_is_sent_before_the_first_poll() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    server.set_nonblocking(true).unwrap();
    let mut state = state(&[address.to_string()]);
    let request = format!(r#"{{"url":"http://{address}/"}}"#);
    let exchange = state.request(request.as_bytes(), Vec::new(), Instant::now() + LONG);
    thread::sleep(SHORT);
    drop(exchange);
    assert!(server.accept().is_err());
}

/// The future runs on the caller's runtime as well, and on none that the caller has to bring.
#[test]
fn any_executor_can_wait_for_a_response() {
    let (address, server) = serve(vec![ok("one"), ok("two")]);
    let mut state = state(&[address.to_string()]);
    let request = format!(r#"{{"url":"http://{address}/"}}"#);
    let deadline = Instant::now() + LONG;
    let mut exchange = || {
        state
            .request(request.as_bytes(), Vec::new(), deadline)
            .unwrap()
    };
    let (first, second) = (exchange(), exchange());
    assert_eq!(pollster::block_on(first).unwrap().body, b"one");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let response = runtime.block_on(async { tokio::spawn(second).await.unwrap() });
    assert_eq!(response.unwrap().body, b"two");
    server.join().unwrap();
}
