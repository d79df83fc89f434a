//! Tests of blobs.

use qmt_oci_ref::{Digest, DigestAlgorithm, MediaType};

use super::*;

fn blob(content: &[u8], algorithm: DigestAlgorithm) -> Descriptor {
    let digest = Digest::of(algorithm, content);
    Descriptor::new(
        MediaType::from("application/wasm"),
        digest,
        content.len() as u64,
    )
}

async fn verify(
    blob: &Descriptor,
    resume_from: Digester,
    chunks: &[&[u8]],
) -> Result<(), ClientError> {
    let mut proof = Proof::new(blob, resume_from)?;
    for chunk in chunks {
        proof.update(&Bytes::copy_from_slice(chunk)).await?;
    }
    proof.finish().await
}

/// DIG-07: SHA-256 and SHA-512 are verified, inline and on the thread, whole and resumed.
#[tokio::test]
async fn matching_content_is_verified() {
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        for length in [0, 1, 1000, (2 << 20) + 7] {
            let content = vec![7_u8; length];
            let blob = blob(&content, algorithm);
            let (head, tail) = content.split_at(length / 3);
            verify(&blob, Digester::new(algorithm), &[head, tail])
                .await
                .unwrap();
            let mut resume_from = Digester::new(algorithm);
            resume_from.update(head);
            verify(&blob, resume_from, &[tail]).await.unwrap();
        }
    }
}

/// DIG-02: another content of the right size is refused, inline and on the thread.
#[tokio::test]
async fn another_content_is_refused() {
    for length in [10, 2 << 20] {
        let blob = blob(&vec![7; length], DigestAlgorithm::Sha256);
        let fresh = || Digester::new(DigestAlgorithm::Sha256);
        verify(&blob, fresh(), &[&vec![7; length]]).await.unwrap();
        let error = verify(&blob, fresh(), &[&vec![8; length]])
            .await
            .unwrap_err();
        assert!(
            matches!(error, ClientError::DigestMismatch { .. }),
            "{error:?}"
        );
    }
}

/// DIG-08: the byte at size + 1 ends it, a missing byte is noticed.
#[tokio::test]
async fn the_size_is_exact() {
    let blob = blob(b"12345", DigestAlgorithm::Sha256);
    let fresh = || Digester::new(DigestAlgorithm::Sha256);
    verify(&blob, fresh(), &[b"123", b"45"]).await.unwrap();
    let error = verify(&blob, fresh(), &[b"123", b"456"]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::SizeMismatch {
                expected: 5,
                actual: 6,
                at_least: true,
                ..
            }
        ),
        "{error:?}"
    );
    let error = verify(&blob, fresh(), &[b"1234"]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::SizeMismatch {
                expected: 5,
                actual: 4,
                ..
            }
        ),
        "{error:?}"
    );
}

/// A digester of another algorithm, or one with too many bytes, can't be resumed.
#[test]
fn a_digester_that_does_not_fit_is_refused() {
    let blob = blob(b"12345", DigestAlgorithm::Sha256);
    let mut resume_from = Digester::new(DigestAlgorithm::Sha256);
    resume_from.update(b"12345");
    assert!(Proof::new(&blob, resume_from.clone()).is_ok());
    resume_from.update(b"6");
    for wrong in [resume_from, Digester::new(DigestAlgorithm::Sha512)] {
        let refused = Proof::new(&blob, wrong).map(|_| ());
        assert!(
            matches!(refused, Err(ClientError::CannotResume { .. })),
            "{refused:?}"
        );
    }
}
