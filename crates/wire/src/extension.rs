//! An extension of a gNMI message, `gnmi_ext.Extension`: kept as its bytes, so that what is not known here passes on.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::gnmi_ext::RegisteredExtension;

/// Any extension, a well-known, a registered or one of the future, as it is encoded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Extension {
    encoded: Vec<u8>,
}

/// What is known of one.
#[derive(Clone, PartialEq, Message)]
struct Known {
    #[prost(message, optional, tag = "1")]
    registered_ext: Option<RegisteredExtension>,
}

impl Extension {
    /// A registered one: its number, and its own message, encoded.
    pub fn registered(id: i32, msg: &[u8]) -> Self {
        let known = Known { registered_ext: Some(RegisteredExtension { id, msg: msg.to_vec() }) };
        Self { encoded: known.encode_to_vec() }
    }

    /// The same, where it is a registered one.
    pub fn as_registered(&self) -> Option<RegisteredExtension> {
        Known::decode(self.encoded.as_slice()).ok()?.registered_ext
    }
}

impl Message for Extension {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.encoded);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let to = &mut self.encoded;
        match wire_type {
            WireType::Varint => {
                let mut value = 0;
                encoding::uint64::merge(wire_type, &mut value, buf, context)?;
                encoding::uint64::encode(tag, &value, to);
            }
            WireType::SixtyFourBit => {
                let mut value = 0;
                encoding::fixed64::merge(wire_type, &mut value, buf, context)?;
                encoding::fixed64::encode(tag, &value, to);
            }
            WireType::ThirtyTwoBit => {
                let mut value = 0;
                encoding::fixed32::merge(wire_type, &mut value, buf, context)?;
                encoding::fixed32::encode(tag, &value, to);
            }
            // No proto3 message has groups.
            _ => {
                let mut value = Vec::new();
                encoding::bytes::merge(wire_type, &mut value, buf, context)?;
                encoding::bytes::encode(tag, &value, to);
            }
        }
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.encoded.len()
    }

    fn clear(&mut self) {
        self.encoded.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gnmi::CapabilityRequest;

    #[test]
    fn one_of_the_future_passes_as_it_is() {
        // Field 77: a varint; 78: bytes; 79 and 80: eight bytes and four.
        let mut encoded = Vec::new();
        encoding::uint64::encode(77, &300, &mut encoded);
        encoding::bytes::encode(78, &vec![1, 2, 3], &mut encoded);
        encoding::fixed64::encode(79, &5, &mut encoded);
        encoding::fixed32::encode(80, &6, &mut encoded);
        let extension = Extension::decode(encoded.as_slice()).expect("a message");
        let sent = CapabilityRequest { extension: vec![extension] }.encode_to_vec();
        let came = CapabilityRequest::decode(sent.as_slice()).expect("a message");
        assert_eq!(came.extension[0].encode_to_vec(), encoded);
        assert_eq!(came.extension[0].as_registered(), None);
    }

    #[test]
    fn a_registered_one_is_known_by_its_number() {
        let extension = Extension::registered(999, b"x");
        let known = extension.as_registered().expect("a registered one");
        assert_eq!((known.id, known.msg.as_slice()), (999, b"x".as_slice()));
    }

    #[test]
    fn what_is_cut_short_is_no_extension() {
        let encoded = Extension::registered(999, b"abc").encode_to_vec();
        assert!(Extension::decode(&encoded[..encoded.len() - 1]).is_err());
        assert!(Extension::decode([0x0b].as_slice()).is_err(), "a group");
    }
}
