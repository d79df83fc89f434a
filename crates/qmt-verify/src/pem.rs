//! PEM files with one or many blocks. <https://www.rfc-editor.org/rfc/rfc7468>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most blocks that one file may hold.
const BLOCKS_MAX: usize = 256;

/// One block: its label and the DER inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

/// Reads all blocks of `text`. Text between blocks is ignored, as everywhere; a block that does
/// not end, ends with another label, or does not decode is an error, so that nothing that an
/// operator wrote is dropped in silence.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is not text".to_owned())?;
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let at = |problem: &str| format!("line {}: {problem}", index + 1);
        if let Some(label) = delimiter(line, "-----BEGIN ") {
            if open.is_some() {
                return Err(at("a block begins inside another"));
            }
            open = Some((label.to_owned(), String::new()));
        } else if let Some(label) = delimiter(line, "-----END ") {
            let Some((begun, body)) = open.take() else {
                return Err(at("a block ends that did not begin"));
            };
            if begun != label {
                return Err(at("a block ends with another label than it began with"));
            }
            let der = STANDARD
                .decode(&body)
                .map_err(|_| at("the block is not base64"))?;
            if der.is_empty() {
                return Err(at("the block is empty"));
            }
            if blocks.len() == BLOCKS_MAX {
                return Err(format!("holds over {BLOCKS_MAX} blocks"));
            }
            blocks.push(Block { label: begun, der });
        } else if let Some((_, body)) = &mut open {
            body.push_str(line);
        }
    }
    match open {
        Some((label, _)) => Err(format!("the block `{label}` does not end")),
        None => Ok(blocks),
    }
}

fn delimiter<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many_blocks_are_read_and_text_between_is_ignored() {
        let one = "-----BEGIN A-----\nAQID\n-----END A-----\n";
        let text = format!("subject=x\n{one}\r\n# comment\n{one}");
        let read = blocks(text.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(
            read[0],
            Block {
                label: "A".to_owned(),
                der: vec![1, 2, 3]
            }
        );
        assert_eq!(blocks(b"").unwrap(), []);
    }

    /// SIG-15: garbage in a PEM file is an error, not an empty list.
    #[test]
    fn broken_blocks_are_errors() {
        for (text, problem) in [
            ("-----BEGIN A-----\nAQID\n", "does not end"),
            (
                "-----BEGIN A-----\nAQID\n-----END B-----\n",
                "another label",
            ),
            ("-----END A-----\n", "did not begin"),
            ("-----BEGIN A-----\n-----BEGIN A-----\n", "inside another"),
            ("-----BEGIN A-----\nA!ID\n-----END A-----\n", "not base64"),
            ("-----BEGIN A-----\n-----END A-----\n", "empty"),
        ] {
            let error = blocks(text.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(blocks(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let one = "-----BEGIN A-----\nAQID\n-----END A-----\n";
        assert_eq!(
            blocks(one.repeat(BLOCKS_MAX).as_bytes()).unwrap().len(),
            BLOCKS_MAX
        );
        assert!(blocks(one.repeat(BLOCKS_MAX + 1).as_bytes()).is_err());
    }
}
