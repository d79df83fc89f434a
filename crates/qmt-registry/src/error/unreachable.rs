//! What to do about a server that can't be reached.

use qmt_oci_ref::RegistryHost;

use super::hint::host_of;

/// What is said of a host in `NO_PROXY`.
const EXEMPT: &str = "the variable `NO_PROXY` names this host, so it is reached without a proxy, whatever \
                      `proxy` and the other variables say";

/// The hint for `address`, to which `registry` redirects; `for_content` if a blob or file was requested.
/// Redirects are followed with the options of the registry, and no mirror is asked.
pub(super) fn target(
    address: &str,
    registry: &RegistryHost,
    exempt: bool,
    for_content: bool,
) -> String {
    let proxy = if exempt {
        EXEMPT.to_owned()
    } else {
        format!(
            "`proxy` in `[registries.\"{registry}\"]`, else `HTTPS_PROXY`, `HTTP_PROXY` or \
             `ALL_PROXY`, applies to it, except for hosts in `NO_PROXY`"
        )
    };
    if for_content {
        format!(
            "`{registry}` keeps its content there, so a firewall must let `{address}` through as \
             well; {proxy}"
        )
    } else {
        format!(
            "if `{address}` is the login page of this network, log in there first; if `{registry}` \
             itself redirects there, a firewall must let `{address}` through as well; {proxy}"
        )
    }
}

/// The hint for the registry itself.
pub(super) fn server(address: &str, exempt: bool, for_login: bool) -> String {
    let host = host_of(address);
    let plain = if address.ends_with(":443") {
        " (if it serves plain HTTP: `plain_http = true` there)"
    } else {
        ""
    };
    let table = format!("`[registries.\"{host}\"]`");
    let mirrors = "only mirrors with `resolve_tags = true` are asked for tags";
    let way = match (exempt, for_login) {
        (true, true) => format!("Note that {EXEMPT}"),
        (true, false) => {
            format!(
                "Note that {EXEMPT}. Set `mirrors` in {table} to reach it another way; {mirrors}"
            )
        }
        (false, true) => format!("Set `proxy` in {table} to reach it another way"),
        (false, false) => {
            format!("Set `proxy` or `mirrors` in {table} to reach it another way; {mirrors}")
        }
    };
    format!("is the registry running, and are its name and port right{plain}? {way}")
}
