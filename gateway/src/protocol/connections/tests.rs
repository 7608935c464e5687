//! Connections come, go and are told to end together.

use super::*;

#[test]
fn connections_that_are_gone_are_forgotten() {
    let connections = Connections::default();
    let first = connections.add(&ListenerLimits::defaults(), &Rc::default());
    let second = connections.add(&ListenerLimits::defaults(), &Rc::default());
    drop(first);
    connections.sweep(Instant::now());
    assert_eq!(connections.count(), 1);
    connections.drain(Instant::now());
    assert_eq!(second.ending(), Ending::Drain);
    assert_eq!(
        connections.add(&ListenerLimits::defaults(), &Rc::default()).ending(),
        Ending::Drain,
        "also those that come later"
    );
    connections.cut();
    assert_eq!(second.ending(), Ending::Close);
}

#[test]
fn draining_one_listener_leaves_the_others_alone() {
    let connections = Connections::default();
    let (gone, stays) = (Rc::new(Group::default()), Rc::new(Group::default()));
    let (one, other) =
        (connections.add(&ListenerLimits::defaults(), &gone), connections.add(&ListenerLimits::defaults(), &stays));
    connections.drain_group(&gone, Instant::now());
    assert_eq!((one.ending(), other.ending()), (Ending::Drain, Ending::None));
    let late = connections.add(&ListenerLimits::defaults(), &gone);
    assert_eq!(late.ending(), Ending::Drain, "it was in the queue of the socket");
}
