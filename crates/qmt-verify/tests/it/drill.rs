//! Drill F16: each bit of what a registry gives for a good signature is flipped, one at a time.
//! The trust root stays as it is. A flip is refused, or it changes nothing that a check relies on:
//! the report about the signature is then the same, or says less where a proof was damaged.
//!
//! Here some bits are flipped. `QMT_DRILL=full` flips a hundred thousand, `QMT_DRILL=long` every bit
//! of as many signatures as make a million; `cargo xtask drill` sets them and reads the line that
//! begins with `drill`.

mod places;
mod signed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{Format, Identity, LogKind, PrivateSigstore, Signing};
use qmt_verify::report::Report;
use qmt_verify::{Evidence, SigstoreVerifier, Verifier as _};
use serde_json::Value;

use self::places::{OWN_SIGNATURE, Parts, changed, lay_open, unused};
use self::signed::{different, good, said, stored, wanted};
use crate::support::{dev, evidence, subject, verifier};
use crate::tampered::{any_signer, forms, sign};

/// A good signature as evidence is stored, and what is said about it.
struct Good {
    name: String,
    content: Value,
    said: Value,
    /// What is said of its log entries where no promise is read.
    silent: Vec<Value>,
    laid_open: Parts,
    of_rekor_v2: bool,
    /// The bytes that are flipped.
    parts: Vec<Part>,
}

/// Some bytes of an evidence item.
enum Part {
    /// Base64 of what a blob holds, at this JSON pointer.
    Blob(&'static str, Vec<u8>),
    /// An annotation, its name first.
    Annotation(String, String),
}

impl Part {
    /// Texts in JSON are UTF-8: the highest bit of their bytes is not flipped.
    fn bits(&self) -> usize {
        match self {
            Self::Blob(_, bytes) => bytes.len() * 8,
            Self::Annotation(name, value) => (name.len() + value.len()) * 7,
        }
    }

    /// The byte with this bit and what stands around it, for messages.
    fn around(&self, bit: usize) -> String {
        let (bytes, at) = match self {
            Self::Blob(_, bytes) => (bytes.clone(), bit / 8),
            Self::Annotation(name, value) => {
                ([name.as_bytes(), value.as_bytes()].concat(), bit / 7)
            }
        };
        let (from, to) = (at.saturating_sub(16), bytes.len().min(at + 16));
        let text = |range: &[u8]| String::from_utf8_lossy(range).into_owned();
        format!(
            "{:?} before {:?}",
            text(&bytes[from..at]),
            text(&bytes[at..to])
        )
    }

    /// `content` with this bit of this part flipped.
    fn flip(&self, content: &Value, bit: usize) -> Value {
        let mut content = content.clone();
        match self {
            Self::Blob(pointer, bytes) => {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                *content.pointer_mut(pointer).unwrap() = STANDARD.encode(bytes).into();
            }
            Self::Annotation(name, value) => {
                let mut text = [name.as_bytes(), value.as_bytes()].concat();
                text[bit / 7] ^= 1 << (bit % 7);
                let text = String::from_utf8(text).unwrap();
                let (new_name, new_value) = text.split_at(name.len());
                let annotations = content.pointer_mut("/simple-signing/annotations").unwrap();
                let annotations = annotations.as_object_mut().unwrap();
                annotations.remove(name);
                annotations.insert(new_name.to_owned(), new_value.into());
            }
        }
        content
    }
}

impl Good {
    fn new(name: String, evidence: &Evidence, report: &Report) -> Self {
        let stored: Value = serde_json::from_slice(&evidence.to_json().unwrap()).unwrap();
        let content = stored["pieces"][0]["content"].clone();
        let mut parts = Vec::new();
        for pointer in ["/bundle/json", "/simple-signing/payload"] {
            if let Some(text) = content.pointer(pointer).and_then(Value::as_str) {
                parts.push(Part::Blob(pointer, STANDARD.decode(text).unwrap()));
            }
        }
        let annotations = content.pointer("/simple-signing/annotations");
        for (name, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap().to_owned();
            parts.push(Part::Annotation(name.clone(), value));
        }
        let laid_open = lay_open(&content, None);
        let said = said(report);
        let (entries, place) = (
            &said["log_entries"],
            "/bundle/json/verificationMaterial/tlogEntries",
        );
        let silent = entries
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .map(|(number, entry)| {
                let mut entry = entry.clone();
                entry["integrated_at"] = Value::Null;
                // The index that a proof proves is that in the log's tree.
                if let Some(index) =
                    laid_open.get(&format!("{place}/{number}/inclusionProof/logIndex"))
                {
                    entry["index"] = serde_json::from_slice(index).unwrap();
                }
                entry
            });
        let silent = silent.collect();
        let version = laid_open.get(&format!("{place}/0/kindVersion/version"));
        let of_rekor_v2 = version.is_some_and(|version| version == b"0.0.2");
        Self {
            name,
            content,
            said,
            silent,
            laid_open,
            of_rekor_v2,
            parts,
        }
    }

    /// What the log signed its checkpoint with.
    fn own_signature(&self) -> Option<&[u8]> {
        let own = self
            .laid_open
            .iter()
            .find(|(place, _)| place.ends_with(OWN_SIGNATURE));
        own.map(|(_, signature)| signature.as_slice())
    }

    fn bits(&self) -> usize {
        self.parts.iter().map(Part::bits).sum()
    }

    /// The part with this bit, and its number there.
    fn part(&self, bit: usize) -> (&Part, usize) {
        let mut bit = bit;
        for part in &self.parts {
            if bit < part.bits() {
                return (part, bit);
            }
            bit -= part.bits();
        }
        unreachable!("a bit beyond the end")
    }

    /// Flips one bit; `None` where that is refused.
    fn try_flip(
        &self,
        verifier: &SigstoreVerifier,
        now: SystemTime,
        which: usize,
        bit: usize,
    ) -> Result<Option<Accepted>, Violation> {
        let (part, within) = self.part(bit);
        let flipped = part.flip(&self.content, within);
        let Some(evidence) = stored(&flipped) else {
            return Ok(None);
        };
        let Ok(verified) = verifier.check(&subject(), &evidence, None, now) else {
            return Ok(None);
        };
        let says = said(verified.report());
        let places = changed(&self.laid_open, &lay_open(&flipped, self.own_signature()));
        let fail = |problem: String| {
            Err(Violation {
                places: places.clone(),
                problem: format!("{}, {problem}", part.around(within)),
                which,
                bit,
            })
        };
        if !self.is_no_more(&says) {
            return fail(format!("says {}", different(&self.said, &says)));
        }
        let why: Option<BTreeSet<_>> = places
            .iter()
            .map(|place| unused(place, self.of_rekor_v2))
            .collect();
        let Some(why) = why else {
            return fail(format!("accepted, {}", different(&self.said, &says)));
        };
        let same = says == self.said;
        Ok(Some(Accepted { why, same }))
    }
}

impl Good {
    /// Whether `says` says nothing that was not said: it may lack a time that a promise or a
    /// timestamp proved, and must then say so.
    fn is_no_more(&self, says: &Value) -> bool {
        let list = |report: &Value, key: &str| report[key].as_array().unwrap().clone();
        let within = |key| {
            let all = list(&self.said, key);
            list(says, key).iter().all(|one| all.contains(one))
        };
        let (old, new) = (list(&self.said, "log_entries"), list(says, "log_entries"));
        let mut entries = old.iter().zip(&self.silent).zip(&new);
        let mut rest = says.clone();
        for key in ["signed_at", "checks", "log_entries"] {
            rest[key] = self.said[key].clone();
        }
        rest == self.said
            && within("signed_at")
            && within("checks")
            && old.len() == new.len()
            && entries.all(|((old, silent), new)| new == old || new == silent)
    }
}

/// A flip that was accepted.
struct Accepted {
    /// Why it may be; nothing where the same is only encoded otherwise.
    why: BTreeSet<&'static str>,
    /// Whether all is said that was said before.
    same: bool,
}

/// A flip that must not be accepted and was.
struct Violation {
    places: BTreeSet<String>,
    problem: String,
    which: usize,
    bit: usize,
}

/// What came of the flips.
#[derive(Default)]
struct Tally {
    flips: usize,
    refused: usize,
    /// Accepted, and the same is said.
    neutral: usize,
    /// Accepted, and less is said.
    less: usize,
    reasons: BTreeMap<&'static str, usize>,
    violations: Vec<Violation>,
}

impl Tally {
    fn add(&mut self, outcome: Result<Option<Accepted>, Violation>) {
        self.flips += 1;
        match outcome {
            Ok(None) => self.refused += 1,
            Ok(Some(accepted)) => {
                *(if accepted.same {
                    &mut self.neutral
                } else {
                    &mut self.less
                }) += 1;
                for why in accepted.why {
                    *self.reasons.entry(why).or_default() += 1;
                }
            }
            Err(violation) => self.violations.push(violation),
        }
    }

    fn merge(&mut self, other: Self) {
        self.flips += other.flips;
        self.refused += other.refused;
        self.neutral += other.neutral;
        self.less += other.less;
        for (why, count) in other.reasons {
            *self.reasons.entry(why).or_default() += count;
        }
        self.violations.extend(other.violations);
    }
}

/// SIG-18, F16: no flipped bit makes something else of a good signature.
#[test]
fn flips() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_signer(&sigstore));
    let (wanted, now) = (wanted(), SystemTime::now());
    let good = good(&sigstore, &verifier, now, wanted);
    let bits: usize = good.iter().map(Good::bits).sum();
    // A step that has no factor in common with the 8 bits of a byte.
    let step = (bits / wanted).max(1) | 1;
    let places: Vec<(usize, usize)> = good
        .iter()
        .enumerate()
        .flat_map(|(which, one)| (0..one.bits()).map(move |bit| (which, bit)))
        .step_by(step)
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally = Tally::default();
        while let Some(&(which, bit)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            tally.add(good[which].try_flip(&verifier, now, which, bit));
        }
        tally
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut whole = Tally::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            whole.merge(worker.join().unwrap());
        }
    });
    println!(
        "drill F16 flips: {} of {bits} bits of {} signatures, {} refused, {} say the same, {} say \
         less, {} violations",
        whole.flips,
        good.len(),
        whole.refused,
        whole.neutral,
        whole.less,
        whole.violations.len()
    );
    for (why, count) in &whole.reasons {
        println!("{count:8} accepted: {why}");
    }
    let mut kinds: BTreeMap<&BTreeSet<String>, Vec<&Violation>> = BTreeMap::new();
    for violation in &whole.violations {
        kinds.entry(&violation.places).or_default().push(violation);
    }
    for (places, violations) in &kinds {
        let first = violations[0];
        println!(
            "{:8} violations at {places:?}, such as bit {} of {}: {}",
            violations.len(),
            first.bit,
            good[first.which].name,
            first.problem
        );
    }
    assert!(kinds.is_empty(), "a flip was accepted as something else");
    assert_eq!(whole.flips, whole.refused + whole.neutral + whole.less);
    assert!(whole.refused > whole.flips / 2, "most bits are signed");
}
