//! DIG-05: a third reader, which knows JSON by the letter and nothing else, against the two that
//! read manifests. What it refuses, both refuse: no document means one thing to one and another to
//! the next.

use bytes::Bytes;
use qmt_artifact::{ArtifactError, SelectionRequest, select};
use qmt_oci_ref::manifest::{self, ManifestError};
use qmt_oci_ref::{
    MediaType, MockRegistry, RawManifest, Registry as _, RegistryError, RegistryErrorKind,
};
use qmt_registry::{ClientError, HostOptions, HttpRegistry};
use qmt_testkit::FakeRegistry;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"a":"\u0041\n","n":"é"},"x":[1.5e3,-0,true,null]}"#;

/// What is put in the place of a character, before it, and in place of the rest of the world.
const PIECES: [&str; 14] = [
    "", "\"", "\\", "{", "}", "[", "]", ",", ":", "\u{0}", "\u{1f}", " ", "0", "e",
];

/// Whether `qmt-artifact` reads the document as JSON.
async fn artifact_reads(content: &Bytes) -> bool {
    let root = RawManifest::new(MediaType::ImageManifest, content.clone());
    let mut empty = MockRegistry::new();
    empty
        .expect_blob()
        .returning(|_, _, _| Err(RegistryError::new(RegistryErrorKind::NotFound, "nothing")));
    let repository = "registry.example/a/b".parse().unwrap();
    let selected = select(SelectionRequest::new(root), &empty, &repository).await;
    !matches!(
        selected,
        Err(ArtifactError::Manifest {
            source: ManifestError::Json { .. },
            ..
        })
    )
}

/// Whether `qmt-registry` reads the document as JSON.
async fn registry_reads(server: &FakeRegistry, client: &HttpRegistry, content: &Bytes) -> bool {
    server.put_manifest("a/b", "1", manifest::OCI_MANIFEST, content.clone());
    let Err(error) = client.resolve(&server.reference("a/b:1")).await else {
        return true;
    };
    !matches!(
        error.downcast_ref(),
        Some(ClientError::NotAManifest {
            source: ManifestError::Json { .. },
            ..
        })
    )
}

fn mutants() -> Vec<String> {
    let mut mutants: Vec<String> = [
        MANIFEST.replace("\"x\"", "\"layers\""),
        MANIFEST.replace("\"x\"", "\"\\u006cayers\""),
        MANIFEST.replace("\"n\"", "\"\\u0061\""),
        MANIFEST.replace("\"size\"", "\"digest\""),
        MANIFEST.replace("1.5e3", "1e400"),
        MANIFEST.replace("-0", "NaN"),
        MANIFEST.replace("-0", "-Infinity"),
        MANIFEST.replace("\\u0041", "\\ud800"),
        MANIFEST.replace("null", "[".repeat(10_000).as_str()),
        format!("{MANIFEST}{MANIFEST}"),
        format!("{MANIFEST}//"),
    ]
    .into();
    for (number, (at, old)) in MANIFEST.char_indices().enumerate() {
        let (head, tail) = MANIFEST.split_at(at);
        let (_, rest) = tail.split_at(old.len_utf8());
        // Not each with each: the places with the pieces in turn.
        for piece in PIECES.iter().cycle().skip(number).take(4) {
            mutants.push(format!("{head}{piece}{rest}"));
            mutants.push(format!("{head}{piece}{tail}"));
        }
    }
    mutants
}

#[tokio::test]
async fn dig_05_what_a_strict_reader_refuses_is_refused_by_both() {
    let server = FakeRegistry::builder().serve().await;
    let client = HttpRegistry::builder()
        .host(server.host(), HostOptions::new().plain_http(true))
        .build()
        .unwrap();
    let mut refused = 0;
    for mutant in mutants() {
        if strict(&mutant) {
            continue;
        }
        refused += 1;
        let content = Bytes::from(mutant.clone());
        assert!(!artifact_reads(&content).await, "artifact: {mutant}");
        assert!(
            !registry_reads(&server, &client, &content).await,
            "registry: {mutant}"
        );
    }
    assert!(refused > 1_000, "{refused}");
    // The same thing said in other letters is read by all three.
    for good in [
        MANIFEST.to_owned(),
        format!(" {MANIFEST}\r\n\t"),
        MANIFEST.replace(':', " : ").replace("sha256 : ", "sha256:"),
        MANIFEST.replace("\"layers\"", "\"\\u006cayers\""),
        MANIFEST.replace("\\u0041", "\\ud83d\\ude00"),
        MANIFEST.replace("null", &format!("{}{}", "[".repeat(100), "]".repeat(100))),
    ] {
        let content = Bytes::from(good.clone());
        assert!(strict(&good), "{good}");
        assert!(artifact_reads(&content).await, "artifact: {good}");
        let read = registry_reads(&server, &client, &content).await;
        assert!(read, "registry: {good}");
    }
}

/// Whether `text` is one JSON value by RFC 8259, no name twice in an object, every number a finite
/// one, nested no deeper than 127.
fn strict(text: &str) -> bool {
    let mut reader = Strict {
        rest: text,
        depth: 0,
    };
    reader.value().is_some() && {
        reader.space();
        reader.rest.is_empty()
    }
}

struct Strict<'a> {
    rest: &'a str,
    depth: usize,
}

impl Strict<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn eat(&mut self, word: &str) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn value(&mut self) -> Option<()> {
        self.space();
        match self.rest.chars().next()? {
            '{' => self.list("{", "}", true),
            '[' => self.list("[", "]", false),
            '"' => self.string().map(drop),
            't' => self.eat("true"),
            'f' => self.eat("false"),
            'n' => self.eat("null"),
            _ => self.number(),
        }
    }

    fn list(&mut self, open: &str, close: &str, named: bool) -> Option<()> {
        self.eat(open)?;
        self.depth += 1;
        let mut names = std::collections::HashSet::new();
        if self.depth > 127 {
            return None;
        }
        if self.eat(close).is_none() {
            loop {
                if named {
                    self.space();
                    if !names.insert(self.string()?) {
                        return None;
                    }
                    self.eat(":")?;
                }
                self.value()?;
                if self.eat(",").is_none() {
                    break;
                }
            }
            self.eat(close)?;
        }
        self.depth -= 1;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.rest = self.rest.strip_prefix('"')?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let next = self.rest.chars().next()?;
            self.rest = self.rest.get(next.len_utf8()..)?;
            match next {
                '"' => return String::from_utf16(&units).ok(),
                '\\' => units.push(self.escape()?),
                next if u32::from(next) < 0x20 => return None,
                next => units.extend(next.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let letter = self.rest.chars().next()?;
        self.rest = self.rest.get(letter.len_utf8()..)?;
        Some(match letter {
            '"' | '\\' | '/' => letter as u16,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = self.rest.get(..4)?;
                self.rest = self.rest.get(4..)?;
                let all = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                u16::from_str_radix(digits, 16).ok().filter(|_| all)?
            }
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<()> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (mantissa, exponent) = unsigned
            .split_once(['e', 'E'])
            .map_or((unsigned, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa
            .split_once('.')
            .map_or((mantissa, None), |(w, f)| (w, Some(f)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let holds = digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
            && text.parse::<f64>().is_ok_and(f64::is_finite);
        holds.then_some(())
    }
}
