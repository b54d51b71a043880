//! DHCP, asked by a client of our own with dhcproto as its codec.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::{
    Decodable as _, Encodable as _,
    v4::{DhcpOption, Message, MessageType, OptionCode},
};
use provebench_network::services::{
    DhcpAnswer, DhcpSettings, Observation, Record, Service as _, Services,
};
use rstest::rstest;
use tokio::{net::UdpSocket, time::timeout};

use super::setup::{FREE, GATEWAY, Known as _, LIMIT, NOTHING, POOL, seen, start};

const XID: u32 = 0x1234_5678;

struct Client {
    socket: UdpSocket,
    hardware: [u8; 6],
}

impl Client {
    async fn new(services: &Services, last: u8) -> Self {
        let socket = UdpSocket::bind(FREE).await.unwrap();
        let server = services.dhcp().control().address().unwrap();
        socket.connect(server).await.unwrap();
        let hardware = [2, 0, 0, 0, 0, last];
        Self { socket, hardware }
    }

    async fn send(&self, kind: MessageType, options: impl IntoIterator<Item = DhcpOption>) {
        let unset = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(XID, unset, unset, unset, unset, &self.hardware);
        let all = message.opts_mut();
        all.insert(DhcpOption::MessageType(kind));
        all.insert(DhcpOption::Hostname("sensor".into()));
        for option in options {
            all.insert(option);
        }
        self.socket.send(&message.to_vec().unwrap()).await.unwrap();
    }

    async fn receive_bytes(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        let length = timeout(limit, self.socket.recv(&mut buffer)).await.ok()?;
        buffer.truncate(length.unwrap());
        Some(buffer)
    }

    async fn receive(&self) -> Message {
        let bytes = self.receive_bytes(LIMIT).await.expect("no answer");
        Message::from_bytes(&bytes).unwrap()
    }

    async fn discover(&self) -> Message {
        self.send(MessageType::Discover, []).await;
        self.receive().await
    }

    async fn request(&self, address: Ipv4Addr) -> Message {
        self.send(MessageType::Request, wanting(address)).await;
        self.receive().await
    }
}

fn wanting(address: Ipv4Addr) -> [DhcpOption; 2] {
    [
        DhcpOption::RequestedIpAddress(address),
        DhcpOption::ServerIdentifier(GATEWAY),
    ]
}

fn option(message: &Message, code: OptionCode) -> Option<DhcpOption> {
    message.opts().get(code).cloned()
}

fn kind(message: &Message) -> MessageType {
    message.opts().msg_type().unwrap()
}

#[tokio::test]
async fn an_address_is_discovered_requested_and_kept() {
    let services = start().await;
    let client = Client::new(&services, 1).await;
    let offer = client.discover().await;
    assert_eq!((kind(&offer), offer.yiaddr()), (MessageType::Offer, POOL));
    let ack = client.request(POOL).await;
    assert_eq!((kind(&ack), ack.yiaddr()), (MessageType::Ack, POOL));
    assert_eq!((ack.xid(), ack.chaddr()), (XID, &client.hardware[..]));
    let expected = [
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![GATEWAY]),
        DhcpOption::DomainNameServer(vec![GATEWAY]),
        DhcpOption::AddressLeaseTime(3600),
        DhcpOption::ServerIdentifier(GATEWAY),
    ];
    for expected in expected {
        assert_eq!(option(&ack, (&expected).into()), Some(expected));
    }
    // Another device gets another address; the first gets its own again.
    let second = Client::new(&services, 2).await;
    let offer = second.discover().await;
    assert_eq!(offer.yiaddr(), Ipv4Addr::new(10, 77, 0, 3));
    assert_eq!(client.discover().await.yiaddr(), POOL);
    // For a third, whoever has waited for longest gives way: there is one DUT, which may call itself otherwise each time.
    let third = Client::new(&services, 3).await;
    assert_eq!(third.discover().await.yiaddr(), offer.yiaddr());
    assert_eq!(client.discover().await.yiaddr(), POOL);
    // What is released is free for others.
    client.send(MessageType::Release, []).await;
    let released = |record: &Record| {
        matches!(&record.observation, Observation::Dhcp { message, host_name, .. }
            if message == "Release" && host_name.as_deref() == Some("sensor"))
    };
    seen(&services, released).await;
    assert_eq!(second.discover().await.yiaddr(), POOL);
}

#[tokio::test]
async fn router_and_dns_can_be_left_out() {
    let services = start().await;
    services.dhcp().set(DhcpSettings {
        router: None,
        dns: vec![],
        lease: Duration::from_mins(1),
    });
    let offer = Client::new(&services, 1).await.discover().await;
    assert_eq!(option(&offer, OptionCode::Router), None);
    assert_eq!(option(&offer, OptionCode::DomainNameServer), None);
    let lease = option(&offer, OptionCode::AddressLeaseTime);
    assert_eq!(lease, Some(DhcpOption::AddressLeaseTime(60)));
}

#[tokio::test]
async fn addresses_of_others_are_refused() {
    let services = start().await;
    let client = Client::new(&services, 1).await;
    let nak = client.request(Ipv4Addr::new(192, 168, 1, 7)).await;
    assert_eq!(kind(&nak), MessageType::Nak);
}

#[tokio::test]
async fn requests_to_other_servers_are_not_answered() {
    let services = start().await;
    let client = Client::new(&services, 1).await;
    let other = DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 1));
    client.send(MessageType::Request, [other]).await;
    let ignored = |record: &Record| matches!(&record.observation, Observation::Dhcp { answer, .. } if answer.contains("another server"));
    seen(&services, ignored).await;
    assert_eq!(client.receive_bytes(NOTHING).await, None);
}

#[rstest]
#[case::nak(DhcpAnswer::Nak, Some(MessageType::Nak))]
#[case::offer_only(DhcpAnswer::OfferOnly, None)]
#[tokio::test]
async fn requests_fail_after_an_offer(
    #[case] answer: DhcpAnswer,
    #[case] expected: Option<MessageType>,
) {
    let services = start().await;
    services.dhcp().answer(answer);
    let client = Client::new(&services, 1).await;
    assert_eq!(kind(&client.discover().await), MessageType::Offer);
    client.send(MessageType::Request, wanting(POOL)).await;
    let limit = if expected.is_some() { LIMIT } else { NOTHING };
    let received = client.receive_bytes(limit).await;
    let received = received.map(|bytes| kind(&Message::from_bytes(&bytes).unwrap()));
    assert_eq!(received, expected);
}

#[tokio::test]
async fn answers_can_be_to_another_transaction_or_garbage() {
    let services = start().await;
    let dhcp = services.dhcp();
    let client = Client::new(&services, 1).await;
    dhcp.answer(DhcpAnswer::WrongTransaction);
    assert_ne!(client.discover().await.xid(), XID);
    dhcp.answer(DhcpAnswer::Garbage);
    client.send(MessageType::Discover, []).await;
    let bytes = client.receive_bytes(LIMIT).await.unwrap();
    assert!(Message::from_bytes(&bytes).is_err_and(|_| true) || bytes[0] != 2);
    dhcp.answer(DhcpAnswer::Normal);
    assert_eq!(client.discover().await.xid(), XID);
}
