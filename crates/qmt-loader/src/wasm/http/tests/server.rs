//! A server of a few lines, on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// Answers one connection after the other, each with the next answer, and returns the requests.
pub(super) fn serve(answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let thread = thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| {
                let (mut stream, _) = server.accept().unwrap();
                let request = read_head(&mut stream);
                // The client may hang up before it has everything.
                let _ = stream.write_all(answer.as_bytes());
                request
            })
            .collect()
    });
    (address, thread)
}

/// Sends `answer`, which is not a whole response, to one connection, and returns how many bytes
/// arrive after the request before the client closes the connection.
pub(super) fn serve_part(answer: &'static str) -> (SocketAddr, JoinHandle<usize>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        read_head(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        rest.len()
    });
    (address, thread)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

pub(super) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) fn redirect(to: &str) -> String {
    redirect_with(302, to)
}

pub(super) fn redirect_with(status: u16, to: &str) -> String {
    format!(
        "HTTP/1.1 {status} Moved\r\nconnection: close\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
    )
}
