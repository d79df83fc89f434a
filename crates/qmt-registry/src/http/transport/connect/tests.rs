//! Tests of connecting.

use super::super::literal;
use super::*;

#[test]
fn the_local_machine_has_names_and_addresses() {
    for (host, expected) in [
        ("localhost", true),
        ("LOCALHOST.", true),
        ("registry.localhost", true),
        ("127.0.0.1", true),
        ("127.9.9.9", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("localhost.example", false),
        ("notlocalhost", false),
        ("10.0.0.1", false),
        ("[fd00::1]", false),
        ("0.0.0.0", false),
    ] {
        let url = Url::parse(&format!("http://{host}:5000/")).unwrap();
        assert_eq!(is_local_machine(&url, literal(&url)), expected, "{host}");
    }
}
