//! `publish` through the command: what it refuses, what it prints, what it writes.

use qmt_testkit::plugins;

use crate::command::Desk;

/// A folder with a module to publish.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("plugin.wasm", plugins::echo_wasm());
    desk
}

#[test]
fn a_time_of_creation_that_no_calendar_holds() {
    let desk = desk();
    let publish = ["publish", "oci-layout://out:1", "--wasm", "plugin.wasm"];
    for seconds in ["18446744073709551615", "253402300800", "-1", "now"] {
        let answer = desk.run_with(&publish, &[("SOURCE_DATE_EPOCH", seconds)]);
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        assert!(
            answer.told().contains("SOURCE_DATE_EPOCH"),
            "{}",
            answer.transcript()
        );
    }
    let answer = desk.run_with(&publish, &[("SOURCE_DATE_EPOCH", "253402300799")]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}
