//! MessagePack: bytes written by hand, and what is refused.

use fanfare_protocol::frame::{ClientBody, ClientFrame, FrameId};
use fanfare_protocol::reply::Reply;
use fanfare_protocol::{Code, Refusal};

use super::*;

#[test]
fn frames_byte_by_byte() {
    let reply = Codec::MessagePack.reply(&FrameId::Number(2), &Ok(Reply::Done {}));
    assert_eq!(&reply.unwrap()[..], b"\x82\xa2re\x02\xa4data\x80");
    let reply: Result<(), Refusal> = Err(Refusal::new(Code::RateLimited, "no").after_ms(1500));
    let reply = Codec::MessagePack.reply(&FrameId::Text("x".into()), &reply);
    let golden = b"\x82\xa2re\xa1x\xa5error\x84\xa4code\xacrate_limited\xa7message\xa2no\xa9retryable\xc3\xacretryAfterMs\xcd\x05\xdc";
    assert_eq!(&reply.unwrap()[..], golden);
    let ping = b"\x83\xa2id\xd1\xff\x00\xa4type\xacsession:ping\xa3key\xa1k";
    let frame = ClientFrame::decode(Codec::MessagePack, ping).unwrap();
    assert_eq!(frame.id, Some(FrameId::Negative(-256)));
    assert_eq!(frame.key.as_deref(), Some("k"));
    assert_eq!(frame.body, Ok(ClientBody::Ping));
}

/// Every way to write a number, a string and a map.
#[test]
fn what_is_not_the_shortest_form_counts_too() {
    let ids: [(&[u8], FrameId); 12] = [
        (b"\x07", FrameId::Number(7)),
        (b"\xcc\x07", FrameId::Number(7)),
        (b"\xcd\x00\x07", FrameId::Number(7)),
        (b"\xce\x00\x00\x00\x07", FrameId::Number(7)),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            FrameId::Number(u64::MAX),
        ),
        (b"\xd0\x07", FrameId::Number(7)),
        (b"\xe0", FrameId::Negative(-32)),
        (b"\xd2\x80\x00\x00\x00", FrameId::Negative(-0x8000_0000)),
        (
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            FrameId::Negative(i64::MIN),
        ),
        (b"\xca\x3f\xc0\x00\x00", FrameId::Float(1.5)),
        (b"\xd9\x01x", FrameId::Text("x".into())),
        (b"\xdb\x00\x00\x00\x01x", FrameId::Text("x".into())),
    ];
    for (spelled, id) in ids {
        let heads: [&[u8]; 3] = [b"\x82", b"\xde\x00\x02", b"\xdf\x00\x00\x00\x02"];
        for head in heads {
            let bytes = [
                head,
                b"\xa2id",
                spelled,
                b"\xa4type\xda\x00\x0csession:ping",
            ]
            .concat();
            let frame = ClientFrame::decode(Codec::MessagePack, &bytes).unwrap();
            assert_eq!(frame.id.as_ref(), Some(&id), "{spelled:?}");
            assert_eq!(frame.body, Ok(ClientBody::Ping));
        }
    }
}

/// Numbers that JavaScript holds as floats.
#[test]
fn integral_floats_are_integers() {
    let at = |seq: &[u8]| {
        let data = [
            b"\x82\xacconversation\xd9\x24",
            ROOM.as_bytes(),
            b"\xa3seq",
            seq,
        ]
        .concat();
        let head = b"\x83\xa2id\x07\xa4type\xacmessage:read\xa4data";
        ClientFrame::decode(Codec::MessagePack, &[&head[..], &data].concat()).unwrap()
    };
    let plain = at(b"\x29");
    assert!(plain.body.is_ok(), "{plain:?}");
    assert_eq!(at(b"\xcb\x40\x44\x80\x00\x00\x00\x00\x00"), plain);
    assert_eq!(at(b"\xca\x42\x24\x00\x00"), plain);
    let wrong: [&[u8]; 7] = [
        b"\xff",
        b"\xcb\x40\x44\xc0\x00\x00\x00\x00\x00",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xcf\x00\x20\x00\x00\x00\x00\x00\x00",
        b"\xc0",
        b"\xa11",
        b"\xc4\x01\x29",
    ];
    for seq in wrong {
        let frame = at(seq);
        assert_eq!(frame.id, Some(FrameId::Number(7)));
        let refusal = frame.body.unwrap_err();
        assert!(refusal.details.contains_key("seq"), "{seq:?} {refusal:?}");
    }
}

/// What JSON has no word for fits nowhere, and its `id` is found all the same.
#[test]
fn what_is_refused_keeps_its_id() {
    let deep = [vec![0x91; 100_000], vec![0x90]].concat();
    let deep = [b"\xa4data", &deep[..]].concat();
    let table: [(&[u8], Code, &str); 13] = [
        (b"\xa4data\x90", Code::InvalidRequest, "data"),
        (b"\xa4data\x07", Code::InvalidRequest, "data"),
        (b"\xa4data\xc4\x00", Code::InvalidRequest, "data"),
        (b"\xa4data\xd4\x01x", Code::InvalidRequest, "data"),
        (&deep, Code::InvalidRequest, "data"),
        (b"\xa4data\x81\xa1x\x07", Code::InvalidRequest, "x"),
        (b"\xa4data\x81\x07\x07", Code::InvalidFrame, ""),
        (b"\xa4data\x81\xa1\xff\x07", Code::InvalidFrame, ""),
        (b"\xa3key\xc4\x01k", Code::InvalidRequest, "key"),
        (b"\xa3key\xa0", Code::InvalidRequest, "key"),
        (b"\xa2id\x08", Code::InvalidRequest, "id"),
        (b"\xa5extra\xc7\x02\x01xy", Code::InvalidRequest, "extra"),
        (b"\x07\xa1x", Code::InvalidFrame, ""),
    ];
    for (rest, code, field) in table {
        let head = b"\x83\xa2id\x07\xa4type\xacsession:ping";
        let frame = ClientFrame::decode(Codec::MessagePack, &[head, rest].concat()).unwrap();
        let shown = &rest[..rest.len().min(20)];
        assert_eq!(frame.id, Some(FrameId::Number(7)), "{shown:?}");
        let refusal = frame.body.unwrap_err();
        let named = refusal.details.keys().next().map_or("", String::as_str);
        assert_eq!(
            (refusal.code, named),
            (code, field),
            "{shown:?}: {refusal:?}"
        );
    }
}

#[test]
fn what_is_no_frame_is_said_to_be_none() {
    let table: [&[u8]; 15] = [
        b"",
        b"\xc1",
        b"\x80\x80",
        b"\x81\xa2id",
        b"\x82\xa2id\x07",
        b"\x90",
        b"\x07",
        b"{}",
        b"\xa2id",
        b"\xc4\x00",
        // So much is only claimed.
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa4data\xdd\xff\xff\xff\xff",
        b"\x81\xa4data\xdb\xff\xff\xff\xffx",
        b"\x81\xa4data\xc9\xff\xff\xff\xff",
        b"\x81\xa2id\xc4\x01x",
    ];
    for bytes in table {
        let refusal = ClientFrame::decode(Codec::MessagePack, bytes).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidFrame, "{bytes:?}");
    }
}
