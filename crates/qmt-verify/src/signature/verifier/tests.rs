//! The hash that belongs to a P-384 key, tested on signatures that `openssl dgst -sign` made with
//! one key.

use std::collections::BTreeMap;

use super::*;
use crate::signature::annotations;
use crate::signature::ignored::Unread;

const KEY: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEWYAv8EZUQdLq3phi5WJPzvn3weVyW7aR\n\
Cq2pWqKx2DZS9wxXvKUoljN8Wq5963WTczftpY9Et99EWfNP0ORTwJEL47R3z+2h\n\
AiiNpHSMkVBWq6XpRXGk7Emrp+TIrmxG\n\
-----END PUBLIC KEY-----\n";

const MESSAGE: &[u8] = b"the message";
const MESSAGE_SHA256: &str = "\
MGQCMHQu1qEtEXOrPwG/b41yi2Pd/MJtxhw1lIcOFMT/ozWsuaMtkqOYHEA2WxtEb9V26AIwTsCj\
8iLMsjs6ZQiu1llt329Pwbn4+sU2D+9tUQ7jotwNX0IyQpzt1a9jirdaF78i";
const MESSAGE_SHA384: &str = "\
MGQCMEidTYwWvbED3XqJWLMmpFHGYp/2cvf3gT5xFZc2d2/1SLh+TFoW8iKfVHG5OfrJAQIwGxOT\
2JraVEi1m9qVjj+sNj0utH+EWsVhIdIEzsSWTO3STQv0LzJdK6f4Cu+L5PEI";
/// Over the same message in an envelope of type `application/vnd.in-toto+json`.
const ENVELOPE_SHA256: &str = "\
MGYCMQC61jy56FmklMvsUHiqdHGzp7xeJ6R7JasXH1DUzwleW2W5ozyYrzO3mGeuS15YkLsCMQDF\
EUk9BSkb6ILp8HJx+LGpZ1vwsHR9qyhmIMg7yyxb/SjM+MztWgbFFWbBcINkBco=";
const ENVELOPE_SHA384: &str = "\
MGUCMQDVdDiUYHV/Wm7BbNIaKdJgEwlHiSP8dSe9SuUIrTQ+UaOyiTXlpKIfMY1LcytKyrICMCZG\
WD9ZuTWVwzR7ZzV4f/pJ277n0jh47V02swp/HDm0b1HCoUsgni/nJKJqrwRHUw==";

fn scheme_of(bundle: Bundle) -> Option<SigningScheme> {
    let signature = Signature {
        place: "the signature",
        format: Format::SimpleSigning,
        bundle,
        unread: Unread::default(),
        signed: Signed::Bytes(MESSAGE),
        predicate: None,
        annotations: BTreeMap::new(),
        name: None,
    };
    let key = DerPublicKey::from_pem(KEY).unwrap();
    scheme(&signature, &key, KeyAlgorithm::EcdsaP384).unwrap()
}

fn of_message(signature: &str) -> Option<SigningScheme> {
    let annotation = "dev.cosignproject.cosign/signature".to_owned();
    let stored = BTreeMap::from([(annotation, signature.to_owned())]);
    scheme_of(annotations::message(MESSAGE, &stored).unwrap().0)
}

fn of_envelope(signature: &str) -> Option<SigningScheme> {
    let envelope = serde_json::json!({
        "payloadType": "application/vnd.in-toto+json",
        "payload": "dGhlIG1lc3NhZ2U=",
        "signatures": [{ "sig": signature }],
    });
    let json = envelope.to_string();
    let (bundle, _) = annotations::envelope(json.as_bytes(), &BTreeMap::new()).unwrap();
    scheme_of(bundle)
}

/// SIG-15: cosign 2 hashes what a `.sig` signs with SHA-256 whatever the curve; in an envelope the
/// curve's own hash alone is taken.
#[test]
fn a_p384_key_has_two_hashes_for_messages_and_one_for_envelopes() {
    assert_eq!(
        of_message(MESSAGE_SHA384),
        Some(SigningScheme::EcdsaP384Sha384)
    );
    assert_eq!(
        of_message(MESSAGE_SHA256),
        Some(SigningScheme::EcdsaP384Sha256)
    );
    assert_eq!(of_message(ENVELOPE_SHA384), None);
    assert_eq!(
        of_envelope(ENVELOPE_SHA384),
        Some(SigningScheme::EcdsaP384Sha384)
    );
    assert_eq!(of_envelope(ENVELOPE_SHA256), None);
}
