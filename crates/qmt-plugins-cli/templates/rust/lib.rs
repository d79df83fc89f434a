//! The plugin `{{name}}`.

use qmt_plugin::Error;

/// Takes a name and returns a greeting.
#[qmt_plugin::export]
fn greet(name: &str) -> Result<String, Error> {
    if name.is_empty() {
        return Err(Error::new("a greeting requires a name"));
    }
    Ok(format!("Hello, {name}!"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_the_name() {
        assert_eq!(greet("Ada").unwrap(), "Hello, Ada!");
        assert!(greet("").is_err());
    }
}
