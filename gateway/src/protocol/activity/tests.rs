//! What the notes of a connection say of its end.

use super::*;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_silent_new_connection_is_closed_after_the_header_timeout() {
    let start = Instant::now();
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), start);
    assert_eq!(activity.verdict(start + seconds(14)), Ending::None);
    assert_eq!(activity.verdict(start + seconds(16)), Ending::Finish);
    assert_eq!(activity.verdict(start + seconds(21)), Ending::Close);
}

#[test]
fn an_unfinished_head_is_cut_at_the_header_timeout_and_an_idle_connection_at_the_idle_timeout() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.request_started();
    assert_eq!(activity.verdict(Instant::now() + seconds(1000)), Ending::None, "a request runs");
    activity.request_ended(None);
    let idle = Instant::now();
    assert_eq!(activity.verdict(idle), Ending::None, "the sweep finds it idle");
    assert_eq!(activity.verdict(idle + seconds(70)), Ending::None);
    assert_eq!(activity.verdict(idle + seconds(76)), Ending::Finish);
    activity.head_since.set(Some(idle));
    assert_eq!(activity.verdict(idle + seconds(16)), Ending::Close);
}

#[test]
fn a_head_that_begins_just_before_the_idle_timeout_is_waited_for() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.request_started();
    activity.request_ended(None);
    let idle = Instant::now();
    activity.head_since.set(Some(idle + seconds(74)));
    assert_eq!(activity.verdict(idle + seconds(76)), Ending::None);
    assert_eq!(activity.verdict(idle + seconds(88)), Ending::None);
    assert_eq!(activity.verdict(idle + seconds(90)), Ending::Close);
}

#[test]
fn a_client_that_stops_reading_is_cut_even_while_a_request_runs() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.request_started();
    let stalled = Instant::now();
    activity.write_stalled.set(Some(stalled));
    assert_eq!(activity.verdict(stalled + seconds(59)), Ending::None);
    assert_eq!(activity.verdict(stalled + seconds(61)), Ending::Close);
}

#[test]
fn a_drain_leaves_time_for_what_has_been_sent_and_none_for_silence() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    let drained = Instant::now();
    activity.drain(drained);
    assert_eq!(activity.ending(), Ending::Drain);
    assert_eq!(activity.verdict(drained + Duration::from_millis(900)), Ending::None, "its first request may come");
    assert_eq!(activity.verdict(drained + Duration::from_millis(1100)), Ending::Finish);
    activity.request_started();
    assert_eq!(activity.verdict(drained + seconds(50)), Ending::None, "a request runs");
    activity.request_ended(None);
    let idle = Instant::now();
    assert_eq!(activity.verdict(idle), Ending::None, "the sweep finds it idle");
    assert_eq!(activity.verdict(idle + Duration::from_millis(200)), Ending::None);
    assert_eq!(activity.verdict(idle + Duration::from_millis(300)), Ending::Finish);
    assert_eq!(activity.verdict(idle + Duration::from_millis(2300)), Ending::Close, "it does not answer a PING");
}

#[test]
fn the_end_of_a_response_may_wait_for_its_client_at_a_drain() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.request_started();
    activity.note_write(false);
    activity.request_ended(None);
    let drained = Instant::now();
    activity.drain(drained);
    assert_eq!(activity.verdict(drained + seconds(50)), Ending::None);
    assert_eq!(activity.verdict(drained + seconds(61)), Ending::Close);
    activity.note_write(true);
    assert_eq!(activity.verdict(drained + seconds(47)), Ending::None, "the sweep finds it idle");
    assert_eq!(activity.verdict(drained + seconds(50)), Ending::Close);
}

#[test]
fn a_connection_is_not_idle_while_it_takes_in_what_nobody_wants() {
    let activity = Rc::new(Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now()));
    activity.request_started();
    let receiving = Activity::receive(&activity);
    activity.request_ended(None);
    activity.note_read();
    assert!(activity.is_busy() && !activity.is_reading());
    assert_eq!(activity.verdict(Instant::now() + seconds(1000)), Ending::None);
    drop(receiving);
    assert_eq!(activity.verdict(Instant::now()), Ending::None, "the sweep finds it idle");
    assert_eq!(activity.verdict(Instant::now() + seconds(70)), Ending::None);
    assert_eq!(activity.verdict(Instant::now() + seconds(76)), Ending::Finish);
}

#[test]
fn a_socket_that_does_not_tell_of_a_leaving_is_asked_once_and_when_the_sweep_says_so() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.request_started();
    assert!(!activity.note_watched(true));
    assert!(activity.note_watched(false), "it has just begun");
    assert!(!activity.note_watched(false));
    activity.ask();
    assert!(activity.note_watched(false) && !activity.note_watched(false));
    activity.request_ended(None);
    activity.ask();
    assert!(!activity.note_watched(false), "nobody waits");
}

#[test]
fn an_ending_is_not_taken_back() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.end(Ending::Close);
    activity.drain(Instant::now());
    assert_eq!(activity.ending(), Ending::Close);
}

#[test]
fn streams_leave_in_any_order_and_stalled_ones_are_cut() {
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), Instant::now());
    activity.set_multiplexed();
    let streams: Vec<_> = (0..4).map(|_| activity.stream_started()).collect();
    for leaving in [0, 3, 1] {
        activity.request_ended(Some(&*streams[leaving]));
    }
    let left: Vec<_> = activity.streams.borrow().iter().map(|stream| Rc::ptr_eq(stream, &streams[2])).collect();
    assert_eq!((left, streams[2].place.get()), (vec![true], 0));
    let offered = Instant::now();
    activity.cut_stalled_streams(offered + seconds(1000));
    assert!(!streams[2].is_cut(), "the upstream is waited for, not the client");
    streams[2].offered(offered);
    activity.cut_stalled_streams(offered + seconds(59));
    assert!(!streams[2].is_cut());
    activity.cut_stalled_streams(offered + seconds(61));
    assert!(streams[2].is_cut());
}

#[test]
fn a_client_that_says_nothing_while_it_waits_is_asked_once_and_given_up_when_nothing_comes() {
    let start = Instant::now();
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), start);
    activity.set_multiplexed();
    activity.break_silence(start + seconds(1000));
    assert!(!activity.take_silence(), "it can't be asked");
    activity.watch_silence();
    activity.request_started();
    activity.note_read();
    activity.break_silence(start);
    activity.break_silence(start + seconds(75));
    assert!(!activity.take_silence());
    activity.break_silence(start + seconds(76));
    assert!(activity.take_silence() && !activity.take_silence());
    activity.note_read();
    activity.break_silence(start + seconds(77));
    activity.break_silence(start + seconds(153));
    assert!(activity.take_silence(), "it has answered, and says nothing again");
    activity.break_silence(start + seconds(167));
    assert_eq!(activity.ending(), Ending::None);
    activity.break_silence(start + seconds(168));
    assert_eq!(activity.ending(), Ending::Close);
}

#[test]
fn neither_an_idle_connection_nor_a_stalled_write_is_silence() {
    let start = Instant::now();
    let activity = Activity::new(ListenerLimits::defaults(), Rc::default(), start);
    activity.set_multiplexed();
    activity.watch_silence();
    activity.break_silence(start + seconds(1000));
    activity.request_started();
    activity.note_write(false);
    activity.break_silence(start + seconds(2000));
    activity.note_write(true);
    activity.break_silence(start + seconds(2070));
    assert!(!activity.take_silence());
    assert_eq!(activity.ending(), Ending::None);
}
