//! The same signature in other encodings: accepted by lenient readers, refused by strict ones.

use serde_json::Value;

use super::bundle::SignedBundle;
use super::codec::{Must, base64, certificate_pem, unbase64};
use super::image::bytes;
use super::simple::{CERTIFICATE, CHAIN, SIGNATURE, SimpleSigning};

/// A way to write a signature or a certificate that differs from the canonical one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// The signature in the URL-safe alphabet, where it has characters that differ.
    UrlSafe,
    /// The signature with a line break in it.
    Broken,
    /// The signature without padding, where it has some.
    Unpadded,
    /// The signature with a space around it.
    Spaced,
    /// A byte after the certificate's DER.
    TrailingCertificateByte,
    /// The certificate's outer length in more bytes than needed, as BER allows and DER does not.
    LongLength,
    /// Text before and after the certificate's PEM block. Only in annotations.
    TextAroundCertificate,
    /// The issuer's certificate after the leaf in the same annotation. Only in annotations.
    TwoCertificates,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 8] = [
        Self::UrlSafe,
        Self::Broken,
        Self::Unpadded,
        Self::Spaced,
        Self::TrailingCertificateByte,
        Self::LongLength,
        Self::TextAroundCertificate,
        Self::TwoCertificates,
    ];

    fn of_base64(self, text: &str) -> String {
        match self {
            Self::UrlSafe => text.replace('+', "-").replace('/', "_"),
            Self::Broken => {
                let (head, tail) = text.split_at(text.len() / 2);
                format!("{head}\n{tail}")
            }
            Self::Unpadded => text.trim_end_matches('=').to_owned(),
            Self::Spaced => format!(" {text} "),
            _ => text.to_owned(),
        }
    }

    fn of_der(self, der: &[u8]) -> Vec<u8> {
        match (self, der) {
            (Self::TrailingCertificateByte, _) => [der, &[0]].concat(),
            (Self::LongLength, [0x30, 0x82, high, low, content @ ..]) => {
                [&[0x30, 0x83, 0, *high, *low], content].concat()
            }
            _ => der.to_vec(),
        }
    }
}

impl SimpleSigning {
    /// The same signature in another encoding; `None` where it would be equal.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Option<Self> {
        let mut out = self.clone();
        if let Some(signature) = out.annotations.get_mut(SIGNATURE) {
            *signature = encoding.of_base64(signature);
        }
        let chain = self.annotations.get(CHAIN).cloned().unwrap_or_default();
        if let Some(certificate) = out.annotations.get_mut(CERTIFICATE) {
            let body: String = certificate
                .lines()
                .filter(|l| !l.starts_with('-'))
                .collect();
            *certificate = certificate_pem(&encoding.of_der(&unbase64(&body)));
            match encoding {
                Encoding::TextAroundCertificate => {
                    *certificate = format!("subject: example\n{certificate}end of text\n");
                }
                Encoding::TwoCertificates => {
                    let (issuer, _) = chain
                        .split_once("-----END CERTIFICATE-----")
                        .must("find the issuer in the chain");
                    certificate.push_str(issuer);
                    certificate.push_str("-----END CERTIFICATE-----\n");
                }
                _ => {}
            }
        }
        (out != *self).then_some(out)
    }
}

impl SignedBundle {
    /// The same signature in another encoding; `None` where it would be equal.
    #[must_use]
    pub fn encoded(&self, encoding: Encoding) -> Option<Self> {
        let mut value = self.value();
        if let Some(Value::String(signature)) = value.pointer_mut("/dsseEnvelope/signatures/0/sig")
        {
            *signature = encoding.of_base64(signature);
        }
        let certificate = value.pointer_mut("/verificationMaterial/certificate/rawBytes");
        if let Some(Value::String(certificate)) = certificate {
            *certificate = base64(encoding.of_der(&unbase64(certificate)));
        }
        (value != self.value()).then(|| Self {
            json: bytes(&value),
            ..self.clone()
        })
    }
}
