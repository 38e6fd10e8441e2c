//! Connections through a proxy, which states the address of the user after the connection was accepted.

use std::net::IpAddr;

use super::session::Phase;
use super::{ConnId, Event, Hub, Now, Output, RefusalReason};

impl Hub {
    /// A connection was accepted from a proxy. Bans and the limit of an address do not apply to the proxy.
    /// [`Hub::handle_origin`] must follow before anything else of the peer's.
    pub(crate) fn handle_proxied(
        &mut self,
        lane: u16,
        proxy: IpAddr,
        now: Now,
        out: &mut Output,
    ) -> ConnId {
        let conn = self.users.connect_unlocated(lane, proxy.to_canonical());
        self.refuse_if_full(conn, now, out);
        conn
    }

    /// The proxy has stated the address of the user, which is judged as that of a new connection. `None` means
    /// that the connection belongs to the proxy itself, whose connections are unlimited.
    pub(crate) fn handle_origin(
        &mut self,
        conn: ConnId,
        address: Option<IpAddr>,
        now: Now,
        out: &mut Output,
    ) {
        let Some(session) = self.users.get(conn).filter(|session| session.phase == Phase::Guest)
        else {
            return;
        };
        let Some(address) = address.map(|address| address.to_canonical()) else {
            out.events.push(Event::Connected { conn, address: session.address });
            return;
        };
        let of_address = self.users.locate(conn, address);
        out.events.push(Event::Connected { conn, address });
        self.judge_address(conn, address, of_address, now, out);
    }

    /// The proxy has not stated the address of the user. The connection does not become a user.
    pub(crate) fn handle_missing_origin(&mut self, conn: ConnId, reason: String, out: &mut Output) {
        self.users.release_place(conn);
        if let Some(session) = self.users.get(conn) {
            let address = session.address;
            self.counts.refused.add(RefusalReason::ProxyHeader);
            out.events.push(Event::ProxyHeaderMissing { conn, address, reason });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use crate::Limits;
    use crate::hub::{Ban, Departure, LocalTime};

    use super::*;

    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
    const USER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    struct House {
        hub: Hub,
        out: Output,
        now: Now,
    }

    impl House {
        fn new(limits: Limits) -> Self {
            let local = LocalTime::new((2026, 11, 20), (14, 3, 7)).expect("a date");
            let now = Now { monotonic: Instant::now(), local };
            House { hub: Hub::builder().limits(limits).build(), out: Output::new(), now }
        }

        fn accept(&mut self) -> ConnId {
            self.hub.handle_proxied(0, PROXY, self.now, &mut self.out)
        }

        /// A connection with its header, and whether it was refused.
        fn connect(&mut self, address: Option<IpAddr>) -> (ConnId, bool) {
            let conn = self.accept();
            (conn, self.locate(conn, address))
        }

        fn locate(&mut self, conn: ConnId, address: Option<IpAddr>) -> bool {
            self.hub.handle_origin(conn, address, self.now, &mut self.out);
            let events = self.out.take_events();
            let expected = address.map_or(PROXY, |address| address.to_canonical());
            let is_seen = |event: &Event| matches!(event, Event::Connected { address, .. } if *address == expected);
            assert!(events.iter().any(is_seen), "{events:?}");
            events.iter().any(|event| matches!(event, Event::Refused { .. }))
        }

        fn leave(&mut self, conn: ConnId) {
            self.hub.handle_disconnect(conn, Departure::Left, self.now, &mut self.out);
            self.hub.check_counters();
        }
    }

    #[test]
    fn the_limit_of_an_address_counts_users_and_not_the_connections_of_the_proxy() {
        let mut house = House::new(Limits { per_address: 2, ..Limits::default() });
        let waiting: Vec<_> = (0..5).map(|_| house.accept()).collect();
        let own: Vec<_> = (0..5).map(|_| house.connect(None)).collect();
        assert!(own.iter().all(|(_, is_refused)| !is_refused));
        // users with the address of the proxy are counted by themselves
        for address in [USER, PROXY] {
            let (first, second) = (house.connect(Some(address)), house.connect(Some(address)));
            assert!(!first.1 && !second.1);
            let (third, is_refused) = house.connect(Some(address));
            assert!(is_refused);
            house.leave(third);
            house.leave(first.0);
            assert!(!house.connect(Some(address)).1);
        }
        waiting.into_iter().for_each(|conn| house.leave(conn));
        own.into_iter().for_each(|(conn, _)| house.leave(conn));
        assert_eq!(house.hub.users.places(), 4);
    }

    #[test]
    fn bans_are_for_users_and_not_for_the_proxy() {
        let mut house = House::new(Limits::default());
        for address in [USER, PROXY] {
            house.hub.restore_ban(Ban::new(address.into()), house.now, &mut house.out);
        }
        assert!(!house.connect(None).1);
        assert!(house.connect(Some(USER)).1);
        assert!(house.connect(Some("::ffff:192.0.2.7".parse().expect("an address"))).1);
        assert!(!house.connect(Some([192, 0, 2, 8].into())).1);
    }

    #[test]
    fn all_connections_count_from_accept_on() {
        let mut house = House::new(Limits { connections: 2, ..Limits::default() });
        let (first, _second) = (house.accept(), house.accept());
        let third = house.accept();
        let refused = house.out.take_events();
        assert!(matches!(&refused[..], [Event::Refused { address: PROXY, .. }]), "{refused:?}");
        // its header changes nothing
        house.hub.handle_origin(third, Some(USER), house.now, &mut house.out);
        assert_eq!(house.out.take_events(), []);
        house.hub.handle_missing_origin(first, "it is malformed".to_owned(), &mut house.out);
        assert!(matches!(
            &house.out.take_events()[..],
            [Event::ProxyHeaderMissing { address: PROXY, reason, .. }] if reason == "it is malformed"
        ));
        house.leave(first);
        assert!(!house.connect(Some(USER)).1);
    }
}
