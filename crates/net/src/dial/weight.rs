//! What a message will take once it is decoded, by its bytes as they come: two bytes can become a message of two hundred.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::{Label, Type};
use tonic::Status;

use crate::error::too_much;
use holdfast_wire::DESCRIPTORS;

/// What one message may come to in memory, in bytes.
pub const LARGEST_DECODED: u64 = 512 << 20;
/// What a message within a message takes, about, however few bytes it has.
const MESSAGE: u64 = 128;
/// The same of text.
const TEXT: u64 = 24;
/// What a number takes that was one byte.
const NUMBER: u64 = 8;
/// How deep messages are decoded.
const DEEPEST: usize = 100;

/// What a field is made of, as far as it takes memory.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// A message of the layout of this index.
    Message(usize),
    Text,
    Numbers,
}

/// The fields of a message, by number; those of one number alone are left out.
type Layout = HashMap<u64, Content>;

/// The layouts of all messages of the contracts, and that of each method's answer, by the method's path.
struct Layouts {
    all: Vec<Layout>,
    answers: HashMap<String, usize>,
}

static LAYOUTS: LazyLock<Layouts> =
    LazyLock::new(|| Layouts::of(&FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default()));

impl Layouts {
    fn of(contracts: &FileDescriptorSet) -> Self {
        let mut found = Vec::new();
        for file in &contracts.file {
            found.extend(file.message_type.iter().map(|message| (format!(".{}", file.package()), message)));
        }
        let mut named = Vec::new();
        while let Some((within, message)) = found.pop() {
            let name = format!("{within}.{}", message.name());
            found.extend(message.nested_type.iter().map(|nested| (name.clone(), nested)));
            named.push((name, message));
        }
        let index: HashMap<&str, usize> = named.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
        let content = |field: &prost_types::FieldDescriptorProto| match field.r#type() {
            Type::Message => index.get(field.type_name()).copied().map(Content::Message),
            Type::String | Type::Bytes => Some(Content::Text),
            _ => (field.label() == Label::Repeated).then_some(Content::Numbers),
        };
        let layout = |message: &prost_types::DescriptorProto| {
            let number = |field: &prost_types::FieldDescriptorProto| u64::try_from(field.number()).ok();
            message.field.iter().filter_map(|field| Some((number(field)?, content(field)?))).collect()
        };
        let mut answers = HashMap::new();
        for file in &contracts.file {
            for service in &file.service {
                for method in &service.method {
                    if let Some(at) = index.get(method.output_type()) {
                        answers.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()), *at);
                    }
                }
            }
        }
        Self { all: named.iter().map(|(_, message)| layout(message)).collect(), answers }
    }
}

/// Where the reader stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// In the number of a field, of which so much came.
    Tag(Number),
    /// In the length of a field with this content.
    Length(Number, Option<Content>),
    /// In a number that is passed over.
    Varint,
    /// In so many bytes that are passed over.
    Skipped(u64),
    /// Behind something that no decoder reads on from.
    Unreadable,
}

/// A number in wire form, of which the lower bits have come.
#[derive(Debug, Clone, Copy, Default)]
struct Number {
    value: u64,
    bits: u32,
}

impl Number {
    /// With the next byte.
    fn with(self, byte: u8) -> Self {
        let more = u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or(0);
        Self { value: self.value | more, bits: self.bits.saturating_add(7) }
    }
}

/// Follows the content of one message.
#[derive(Debug)]
pub struct Weight {
    layout: Option<usize>,
    /// The layouts of the messages that it is in, and where each ends.
    within: Vec<(usize, u64)>,
    groups: usize,
    position: u64,
    at: At,
    decoded: u64,
}

impl Weight {
    /// Of messages that answer a call of the method of this path; of one that no contract has, nothing is known.
    pub fn of_answers_to(path: &str) -> Self {
        let layout = LAYOUTS.answers.get(path).copied();
        Self { layout, within: Vec::new(), groups: 0, position: 0, at: At::Unreadable, decoded: 0 }
    }

    /// A message of this many bytes begins.
    pub fn begin(&mut self, length: u64) {
        self.within.clear();
        (self.groups, self.position, self.decoded) = (0, 0, 0);
        self.at = At::Unreadable;
        if let Some(layout) = self.layout {
            self.within.push((layout, length));
            self.at = At::Tag(Number::default());
        }
    }

    /// More of its bytes. One that would come to more than [`LARGEST_DECODED`] is RESOURCE_EXHAUSTED.
    pub fn follow(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() && !matches!(self.at, At::Unreadable) {
            let taken = match self.at {
                At::Skipped(left) => usize::try_from(left).unwrap_or(usize::MAX).min(data.len()),
                _ => 1,
            };
            self.position += taken as u64;
            self.at = self.after(self.at, data[0], taken as u64);
            data = &data[taken..];
            if matches!(self.at, At::Tag(number) if number.bits == 0) {
                self.leave();
            }
            if self.decoded > LARGEST_DECODED {
                let most = LARGEST_DECODED >> 20;
                return Err(too_much(format!(
                    "a message of the answer would come to more than {most} MiB in memory, and is not taken"
                )));
            }
        }
        Ok(())
    }

    fn after(&mut self, at: At, byte: u8, taken: u64) -> At {
        let next = At::Tag(Number::default());
        let goes_on = byte & 0x80 != 0;
        match at {
            At::Tag(number) if goes_on => At::Tag(number.with(byte)),
            At::Tag(number) => self.field(number.with(byte).value),
            At::Length(number, content) if goes_on => At::Length(number.with(byte), content),
            At::Length(number, content) => self.content(number.with(byte).value, content),
            At::Varint if goes_on => At::Varint,
            At::Skipped(left) if left > taken => At::Skipped(left - taken),
            At::Varint | At::Skipped(_) => next,
            At::Unreadable => At::Unreadable,
        }
    }

    /// What comes after the number and wire type of a field.
    fn field(&mut self, tag: u64) -> At {
        let known = self.within.last().filter(|_| self.groups == 0);
        let content = known.and_then(|(layout, _)| LAYOUTS.all[*layout].get(&(tag >> 3)).copied());
        match tag & 7 {
            0 => At::Varint,
            1 => At::Skipped(8),
            2 => At::Length(Number::default(), content),
            3 if self.groups < DEEPEST => {
                self.groups += 1;
                At::Tag(Number::default())
            }
            4 if self.groups > 0 => {
                self.groups -= 1;
                At::Tag(Number::default())
            }
            5 => At::Skipped(4),
            _ => At::Unreadable,
        }
    }

    /// What comes after the length of a field.
    fn content(&mut self, length: u64, content: Option<Content>) -> At {
        let end = self.position.saturating_add(length);
        if self.within.last().is_some_and(|(_, outer)| end > *outer) || self.within.len() > DEEPEST {
            return At::Unreadable;
        }
        match content {
            Some(Content::Message(layout)) => {
                self.decoded += MESSAGE;
                self.within.push((layout, end));
                return At::Tag(Number::default());
            }
            Some(Content::Text) => self.decoded += TEXT,
            Some(Content::Numbers) => self.decoded = self.decoded.saturating_add(length.saturating_mul(NUMBER)),
            None => {}
        }
        if length == 0 { At::Tag(Number::default()) } else { At::Skipped(length) }
    }

    /// Leaves the messages that end here.
    fn leave(&mut self) {
        while self.within.last().is_some_and(|(_, end)| *end <= self.position) {
            self.within.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_wire::gnmi::{GetResponse, Notification, Path, PathElem, Update};

    const GET: &str = "/gnmi.gNMI/Get";

    fn weighed(path: &str, message: &[u8], piece: usize) -> Result<u64, Status> {
        let mut weight = Weight::of_answers_to(path);
        for _ in 0..2 {
            weight.begin(message.len() as u64);
            message.chunks(piece).try_for_each(|part| weight.follow(part))?;
        }
        Ok(weight.decoded)
    }

    fn deep() -> GetResponse {
        let element = PathElem { name: "interface".into(), key: [("name".into(), "Ethernet1".into())].into() };
        let path = Path { elem: vec![element; 3], ..Path::default() };
        let update = Update { path: Some(path), duplicates: 7, ..Update::default() };
        let notification = Notification { update: vec![update; 2], timestamp: -1, ..Notification::default() };
        GetResponse { notification: vec![notification, Notification::default()], ..GetResponse::default() }
    }

    #[test]
    fn each_message_and_text_within_counts_wherever_the_bytes_are_parted() {
        let bytes = deep().encode_to_vec();
        // Two notifications, two updates with a path of three elements that have a name and one key.
        let (messages, texts) = (2 + 2 + 2 + 6 + 6, 2 * 3 * 3);
        for piece in 1..=bytes.len() {
            assert_eq!(weighed(GET, &bytes, piece).expect("small"), messages * MESSAGE + texts * TEXT, "by {piece}");
        }
    }

    #[test]
    fn many_messages_of_nothing_are_too_many_at_the_top_and_below() {
        let many = usize::try_from(LARGEST_DECODED / MESSAGE).expect("fits") + 1;
        let empty = [0x0a, 0].repeat(many); // GetResponse.notification
        let mut below = vec![0x0a];
        prost::encoding::encode_varint(many as u64 * 2, &mut below);
        below.extend([0x22, 0].repeat(many)); // Notification.update
        for message in [empty, below] {
            assert!(message.len() < 16 << 20, "far below what a message may have");
            let error = weighed(GET, &message, 16 << 10).expect_err("it would take gigabytes");
            assert_eq!(error.code(), tonic::Code::ResourceExhausted);
            weighed("/some.other/Method", &message, 16 << 10).expect("of which nothing is known");
        }
    }

    #[test]
    fn what_no_contract_has_is_passed_over_and_counts_nothing() {
        let mut bytes = vec![0xf8, 0x07, 0x96, 0x01]; // a number in field 127
        bytes.extend([0xfb, 0x07, 0x0a, 0, 0x0a, 1, 9, 0xfc, 0x07]); // a group, with what looks like notifications
        bytes.extend([0xfa, 0x07, 2, 0x0a, 0]); // bytes that look like one
        bytes.extend([0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 0x07, 1, 2, 3, 4]); // of eight and of four bytes
        assert_eq!(weighed(GET, &bytes, 1).expect("small"), 0);
        bytes.extend(deep().encode_to_vec());
        assert_eq!(weighed(GET, &bytes, 3).expect("small"), weighed(GET, &deep().encode_to_vec(), 64).expect("small"));
        GetResponse::decode(bytes.as_slice()).expect("it is read so by others too");
    }

    #[test]
    fn nothing_that_is_no_message_stops_it() {
        for bytes in [&[0x0a, 9, 0x22, 0][..], &[0x0c], &[0x0f], &[0xff; 40], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]]
        {
            weighed(GET, bytes, 1).expect("a decoder tells what is wrong");
            assert!(GetResponse::decode(bytes).is_err(), "{bytes:?}");
        }
        let numbers = [&[0x1a, 0xff, 0xff, 0xff, 0x1f][..], &[0; 100]].concat(); // CapabilityResponse.supported_encodings
        weighed("/gnmi.gNMI/Capabilities", &numbers, 7).expect("it says more than there is");
    }
}
