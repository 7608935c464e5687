//! HTTP/1.1: reuse, replay, framing, cuts, timeouts, cancellation.

use super::*;
use crate::error::ErrorKind;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body::Body as _;

#[test]
fn keeps_connections_and_writes_the_head_as_it_should() {
    run(async {
        let notes = Notes::default();
        let seen = notes.clone();
        let address = raw(move |number, mut socket| {
            let seen = seen.clone();
            async move {
                while let Some(head) = socket.head().await {
                    seen.borrow_mut().push(format!("{number} {head}"));
                    socket.write(OK).await;
                }
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        for n in 0..3 {
            let (response, report) = get(&client, &upstream).await;
            assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
            assert_eq!(reused(&report), n > 0);
            assert_eq!(report.endpoint(), Some(address));
            assert_eq!(client.pooled(), (1, 0));
        }
        assert_eq!(notes.borrow().len(), 3);
        for note in notes.borrow().iter() {
            assert_eq!(note, "0 GET /a?b=c HTTP/1.1\r\nhost: example.no\r\n\r\n");
        }
    });
}

#[test]
fn a_dead_pooled_connection_is_replaced_once_for_idempotent_requests_only() {
    run(async {
        // The first connection answers once and dies on its second request, after having read it.
        let address = raw(|number, mut socket| async move {
            let mut served = 0;
            while socket.head().await.is_some() {
                if number == 0 && served == 1 {
                    return;
                }
                served += 1;
                socket.write(OK).await;
            }
        })
        .await;
        let upstream = upstream(config(&[address])).await;
        let client = client();
        get(&client, &upstream).await.0.unwrap();
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
        assert_eq!((report.count(), reused(&report)), (2, false));
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
    run(async {
        let heads = Rc::new(std::cell::Cell::new(0));
        let count = heads.clone();
        let address = raw(move |_, mut socket| {
            let count = count.clone();
            async move {
                if socket.head().await.is_some() {
                    socket.write(OK).await;
                    socket.until("body").await;
                    count.set(count.get() + 1);
                }
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        get(&client, &upstream).await.0.unwrap();
        let (response, report) = send(&client, &upstream, Method::POST, Body::full("body")).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::Reset);
        assert_eq!((report.count(), heads.get()), (1, 1));
    });
}

#[test]
fn a_connection_that_was_closed_while_idle_is_thrown_away() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.head().await;
            socket.write(OK).await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        for _ in 0..3 {
            // A POST that was written could not be repeated: it succeeds because the close is seen, or nothing sent.
            let (response, report) = send(&client, &upstream, Method::POST, Body::empty()).await;
            assert_eq!(text(response.unwrap()).await.unwrap(), "ok");
            assert_eq!(report.count(), 1);
            while client.pooled() != (0, 0) {
                client.sweep();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

/// Answers with these bytes and closes; gives what the client makes of it.
async fn answer(bytes: &'static str) -> Result<String, Error> {
    let address = raw(move |_, mut socket| async move {
        socket.head().await;
        socket.write(bytes).await;
    })
    .await;
    let (client, upstream) = (client(), upstream(config(&[address])).await);
    let response = get(&client, &upstream).await.0?;
    let body = text(response).await?;
    assert_eq!(client.pooled().1, 0);
    Ok(body)
}

#[test]
fn a_cut_response_never_looks_whole() {
    for cut in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
        // Head and end in one segment, without a byte of the body between them.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-len",
        "",
    ] {
        let error = run(answer(cut)).expect_err(cut);
        assert_eq!(error.kind(), ErrorKind::Reset, "{cut:?}: {error}");
    }
    let error = run(answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")).expect_err("no chunk");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

#[test]
fn a_response_that_is_known_to_be_cut_gets_no_head() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.head().await;
            socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
            socket.head().await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let error = get(&client, &upstream).await.0.err().expect("there is still time for a 502");
        assert_eq!((error.kind(), upstream.endpoints()[0].failures), (ErrorKind::Protocol, 1));
    });
}

#[test]
fn whole_responses_of_every_framing() {
    for whole in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\n\r\nabc",
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    ] {
        assert_eq!(run(answer(whole)).expect(whole), "abc");
    }
}

#[test]
fn ambiguous_or_broken_heads_are_refused() {
    for bad in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let error = run(answer(bad)).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Protocol, "{bad:?}: {error}");
    }
    let large: &'static str = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(200 << 10)).leak();
    assert_eq!(run(answer(large)).expect_err("too large").kind(), ErrorKind::ResponseHeadTooLarge);
}

#[test]
fn a_blank_before_the_colon_is_removed() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.head().await;
            let fields = "Content-Length : 2\r\nX-A  \t: 1\r\nX-B:2\r\n";
            socket.write(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nok")).await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let response = get(&client, &upstream).await.0.unwrap();
        assert_eq!((response.fields.text("x-a"), response.fields.text("x-b")), ("1", "2"));
        assert_eq!(text(response).await.unwrap(), "ok");
    });
}

#[test]
fn a_hundred_fields_pass_and_one_more_is_said_to_be_too_many() {
    let with = |count: usize| -> &'static str {
        let fields: String = (1..count).map(|number| format!("x-{number}: 1\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{fields}\r\nok").leak()
    };
    assert_eq!(run(answer(with(100))).unwrap(), "ok");
    let error = run(answer(with(101))).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::ResponseHeadTooLarge);
    assert!(error.detail().contains("100 fields"), "{error}");
}

#[test]
fn interim_responses_without_an_end_are_given_up_before_any_deadline() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.head().await;
            let burst = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(500);
            for _ in 0..200 {
                socket.write(&burst).await;
            }
            std::future::pending::<()>().await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let error = get(&client, &upstream).await.0.err().expect("no head");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.detail().contains("interim"), "{error}");
        assert_eq!(client.pooled(), (0, 0));
    });
}

#[test]
fn a_decent_number_of_interim_responses_passes() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(500);
    let whole: &'static str = format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").leak();
    assert_eq!(run(answer(whole)).unwrap(), "ok");
}

#[test]
fn te_is_named_by_connection() {
    run(async {
        let (seen, mut heads) = mpsc::unbounded_channel();
        let address = raw(move |_, mut socket| {
            let seen = seen.clone();
            async move {
                let _ = seen.send(socket.head().await.unwrap_or_default().to_ascii_lowercase());
                socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        for (te, expected) in [(true, true), (false, false)] {
            let mut request = outbound(Method::GET, Body::empty());
            if te {
                request.headers.insert("te", http::HeaderValue::from_static("trailers"));
            }
            client.send(&upstream, request, &Report::new(std::time::Instant::now())).await.unwrap();
            let head = heads.recv().await.unwrap();
            assert_eq!(head.contains("connection: te"), expected, "{head}");
        }
    });
}

#[test]
fn trailers_of_a_chunked_response_arrive() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.head().await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
            socket.write(&format!("{head}2\r\nok\r\n0\r\nx-sum: 7\r\nset-cookie: a=b\r\n\r\n")).await;
            socket.head().await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let response = get(&client, &upstream).await.0.unwrap();
        assert_eq!(response.body.size_hint().exact(), None, "no trailers follow a length that is told ahead");
        let body = response.body.collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "7");
        assert_eq!(body.trailers().unwrap().len(), 1, "fields of a head don't come in by the back door");
        assert_eq!(client.pooled(), (1, 0));
    });
}

#[test]
fn silence_is_a_timeout() {
    run(async {
        let address = raw(|number, mut socket| async move {
            socket.head().await;
            if number > 0 {
                socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
            }
            socket.head().await;
        })
        .await;
        let mut config = config(&[address]);
        // The second head has to come within it, also on a machine that stalls.
        config.timeouts.response = Duration::from_millis(500);
        config.timeouts.idle = Duration::from_millis(500);
        let (client, upstream) = (client(), upstream(config).await);
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::ResponseTimeout);
        assert_eq!((report.count(), upstream.endpoints()[0].failures), (1, 1));
        let response = get(&client, &upstream).await.0.unwrap();
        assert_eq!(text(response).await.unwrap_err().kind(), ErrorKind::ResponseTimeout);
        assert_eq!(client.pooled(), (0, 0));
    });
}

#[test]
fn a_whole_body_that_is_taken_slowly_is_no_silence() {
    run(async {
        const STEP: usize = 64 << 10;
        const STEPS: usize = 300;
        // A small buffer, so that what the upstream reads is soon felt by the sender.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listening(socket.listen(8).unwrap(), |_, mut socket| async move {
            socket.head().await.unwrap();
            let mut left = STEP * STEPS - socket.seen.len();
            let mut buffer = vec![0; STEP];
            while left > 0 {
                let step = STEP.min(left);
                left -= socket.io.read_exact(&mut buffer[..step]).await.unwrap();
                // The last third may be in the kernel's buffers, of which the sender knows nothing.
                if left > STEP * STEPS / 3 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            socket.write(OK).await;
        });
        let mut config = config(&[address]);
        config.timeouts.response = Duration::from_millis(500);
        let (client, upstream) = (client(), upstream(config).await);
        let began = tokio::time::Instant::now();
        let (response, _) = send(&client, &upstream, Method::PUT, Body::full(vec![b'x'; STEP * STEPS])).await;
        assert_eq!(response.unwrap().status, 200);
        assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    });
}

#[test]
fn both_directions_stream_and_the_client_may_think() {
    run(async {
        let address = raw(|_, mut socket| async move {
            let head = socket.head().await.unwrap();
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            socket.until("one\r\n").await;
            socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nuno\r\n").await;
            socket.until("two\r\n").await;
            socket.write("3\r\ndos\r\n").await;
            socket.until("0\r\n\r\n").await;
            socket.write("0\r\n\r\n").await;
            socket.head().await;
        })
        .await;
        let mut config = config(&[address]);
        config.timeouts.response = Duration::from_millis(400);
        let (client, upstream) = (client(), upstream(config).await);
        let (sender, body) = channel();
        let feeder = sender.clone();
        tokio::task::spawn_local(async move {
            // Longer than the response timeout, which does not run while the client is the one to move.
            tokio::time::sleep(Duration::from_millis(600)).await;
            feeder.send("one").unwrap();
        });
        // GET, whose body is told of like any other.
        let mut body = send(&client, &upstream, Method::GET, body).await.0.unwrap().body;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "uno");
        sender.send("two").unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "dos");
        drop(sender);
        assert!(body.frame().await.is_none());
        assert_eq!(client.pooled(), (1, 0));
    });
}

#[test]
fn a_known_length_is_stated_and_an_early_end_drops_the_connection() {
    run(async {
        let address = raw(|_, mut socket| async move {
            while let Some(head) = socket.head().await {
                if head.starts_with("PUT") {
                    assert!(head.contains("content-length: 4\r\n") && !head.contains("chunked"), "{head}");
                    socket.until("body").await;
                }
                socket.write(OK).await;
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let response = send(&client, &upstream, Method::PUT, Body::full("body")).await.0.unwrap();
        assert!(response.fields.get(TRANSFER_ENCODING).is_none());
        assert_eq!(response.fields.text(CONTENT_LENGTH), "2");
        assert_eq!(response.body.size_hint().exact(), Some(2));
        assert_eq!(client.pooled(), (1, 0));
        // The response is whole while the request is not: the pooled connection is used up.
        let (_sender, body) = channel();
        let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
        assert_eq!(text(response).await.unwrap(), "ok");
        assert_eq!(client.pooled(), (0, 0));
    });
}

#[test]
fn an_answer_that_came_before_the_upload_broke_is_not_lost() {
    run(async {
        let (feeder, body) = channel();
        feeder.send("one").unwrap();
        let feeder = RefCell::new(Some(feeder));
        let address = raw(move |_, mut socket| {
            let feeder = feeder.borrow_mut().take().unwrap();
            async move {
                socket.until("one\r\n").await;
                // Answers and resets. The next piece of the body is there before anybody has looked at the socket.
                let answer = "HTTP/1.1 413 Content Too Large\r\ncontent-length: 6\r\n\r\nenough";
                socket.write(answer).await;
                socket.io.set_zero_linger().unwrap();
                drop(socket);
                feeder.send("two").unwrap();
                std::future::pending::<()>().await;
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        // In a task of its own, so that it is polled before the runtime looks at sockets again.
        let sender = client.clone();
        let sent = tokio::task::spawn_local(async move {
            let (response, report) = send(&sender, &upstream, Method::POST, body).await;
            let response = response.expect("the answer");
            assert_eq!((response.status.as_u16(), report.count()), (413, 1));
            text(response).await.unwrap()
        });
        assert_eq!(sent.await.unwrap(), "enough");
        assert_eq!(client.pooled(), (0, 0));
    });
}

#[test]
fn dropping_the_request_or_the_body_closes_the_connection() {
    run(async {
        let (sender, mut closed) = mpsc::unbounded_channel();
        let address = raw(move |number, mut socket| {
            let sender = sender.clone();
            async move {
                socket.head().await;
                sender.send("head").unwrap();
                if number > 0 {
                    socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await;
                }
                assert!(socket.head().await.is_none());
                sender.send("closed").unwrap();
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let report = Report::new(std::time::Instant::now());
        tokio::select! {
            _ = client.send(&upstream, outbound(Method::GET, Body::empty()), &report) => panic!("no answer comes"),
            _ = closed.recv() => {}
        }
        assert_eq!(closed.recv().await, Some("closed"));
        assert_eq!(report.count(), 1);
        let mut response = get(&client, &upstream).await.0.unwrap();
        assert_eq!(closed.recv().await, Some("head"));
        response.body.frame().await.unwrap().unwrap();
        drop(response);
        assert_eq!(closed.recv().await, Some("closed"));
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
}

#[test]
fn the_client_s_broken_body_is_not_the_upstream_s_failure() {
    run(async {
        let address = raw(|_, mut socket| async move {
            socket.until("never").await;
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let broken = futures_util::stream::iter([
            Ok(http_body::Frame::data(Bytes::from_static(b"a"))),
            Err(Error::new(ErrorKind::ClientGone, "gone")),
        ]);
        let body = Body::boxed(http_body_util::StreamBody::new(broken));
        let (response, _) = send(&client, &upstream, Method::POST, body).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::ClientGone);
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
}

/// More than a socket buffer holds.
const LARGE: usize = 256 << 10;

#[test]
fn no_wake_up_is_lost_under_load() {
    run(async {
        // Large enough for many reads; the task's budget runs out on the way.
        let large = "x".repeat(LARGE);
        let address = raw(move |_, mut socket| {
            let large = large.clone();
            async move {
                while let Some(head) = socket.head().await {
                    let head = if head.starts_with("GET") { "2\r\n\r\nok" } else { "262144\r\n\r\n" };
                    socket.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {head}")).await;
                    if !head.contains("ok") {
                        socket.until("end").await;
                        socket.write(&large).await;
                    }
                }
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(config(&[address])).await);
        let all = (0..8).map(|_| async {
            for round in 0..50 {
                if round % 10 == 0 {
                    let body = Body::full([&vec![b'y'; LARGE][..], b"end"].concat());
                    let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
                    assert_eq!(text(response).await.unwrap().len(), LARGE);
                } else {
                    assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), "ok");
                }
            }
        });
        futures_util::future::join_all(all).await;
        assert_eq!(client.pooled(), (8, 0));
    });
}

#[test]
fn only_as_many_idle_connections_as_allowed_are_kept_and_they_age() {
    run(async {
        let address = raw(|_, mut socket| async move {
            while socket.head().await.is_some() {
                socket.write(OK).await;
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(Config { keepalive: 2, ..config(&[address]) }).await);
        futures_util::future::join_all((0..5).map(|_| get(&client, &upstream))).await;
        assert_eq!(client.pooled(), (2, 0));
        (0..6).for_each(|_| client.sweep());
        assert_eq!(client.pooled(), (2, 0));
        client.sweep();
        assert_eq!(client.pooled(), (0, 0));
        get(&client, &upstream).await.0.unwrap();
        assert_eq!(client.pooled(), (1, 0));
        drop(upstream);
        client.sweep();
        assert_eq!(client.pooled(), (0, 0));
    });
}
