//! HTTP/2 by prior knowledge: one connection for many streams, trailers, refusals, resets.

use super::*;
use crate::error::ErrorKind;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Runs the tasks of hyper's server beside the test.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves HTTP/1.1 or HTTP/2: echoes bodies as they come, with a trailer.
pub(super) async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + 'static, http2: bool) {
    let io = TokioIo::new(io);
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let version = format!("{:?}", request.version());
        let authority = request.uri().authority().map_or(String::new(), |authority| authority.to_string());
        let te = request.headers().get("te").cloned();
        let response = http::Response::builder().header("x-version", version).header("x-authority", authority);
        let response = if let Some(te) = te { response.header("x-te", te) } else { response };
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
        let body = request.into_body().with_trailers(async move { Some(Ok(trailers)) });
        Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
    });
    // It ends when the client goes.
    if http2 {
        let _ = hyper::server::conn::http2::Builder::new(LocalExecutor).serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

fn h2(address: SocketAddr) -> Config {
    Config { protocol: UpstreamProtocol::Http2, ..config(&[address]) }
}

/// An upstream that echoes, and how many connections it has had.
async fn counting() -> (SocketAddr, Rc<std::cell::Cell<usize>>) {
    let connections = Rc::new(std::cell::Cell::new(0));
    let count = connections.clone();
    let script = move |number, socket: Socket| {
        count.set(number + 1);
        serve(socket.io, true)
    };
    (raw(script).await, connections)
}

#[test]
fn many_streams_share_one_connection() {
    run(async {
        let (address, connections) = counting().await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let requests = (0..20).map(|_| async {
            let (response, _) = send(&client, &upstream, Method::POST, Body::full("hello")).await;
            let response = response.unwrap();
            assert_eq!(response.fields.text("x-version"), "HTTP/2.0");
            assert_eq!(response.fields.text("x-authority"), "example.no");
            text(response).await.unwrap()
        });
        for body in futures_util::future::join_all(requests).await {
            assert_eq!(body, "hello");
        }
        assert_eq!(connections.get(), 1);
        assert_eq!(client.pooled(), (0, 1));
    });
}

#[test]
fn grpc_bodies_and_trailers_stream_both_ways() {
    run(async {
        let address = raw(|_, socket| serve(socket.io, true)).await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (sender, body) = channel();
        let mut request = outbound(Method::POST, body);
        request.headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        let response = client.send(&upstream, request, &Report::new(std::time::Instant::now())).await.unwrap();
        assert_eq!(response.fields.text("x-te"), "trailers");
        let mut body = response.body;
        for text in ["one", "two", "three"] {
            sender.send(text).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
        }
        drop(sender);
        let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.len(), 1, "fields of a head don't come in by the back door");
        assert!(body.frame().await.is_none());
    });
}

/// An upstream on h2 itself: the script gets each request's stream with the numbers of its connection and stream.
async fn streams<F: Future<Output = ()> + 'static>(
    limit: u32,
    script: impl Fn(usize, usize, Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) -> F + Clone + 'static,
) -> SocketAddr {
    raw(move |connection, socket| {
        let script = script.clone();
        async move {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(limit);
            let Ok(mut server) = builder.handshake::<_, Bytes>(socket.io).await else { return };
            let mut number = 0;
            while let Some(Ok((request, respond))) = server.accept().await {
                tokio::task::spawn_local(script(connection, number, request, respond));
                number += 1;
            }
        }
    })
    .await
}

fn ok(respond: &mut h2::server::SendResponse<Bytes>, end: bool) -> h2::SendStream<Bytes> {
    respond.send_response(http::Response::new(()), end).unwrap()
}

#[test]
fn a_refused_stream_goes_again_once_whatever_the_method() {
    run(async {
        let address = streams(100, |_, number, _, mut respond| async move {
            if number == 0 {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            } else {
                ok(&mut respond, true);
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
        assert_eq!(response.unwrap().status, 200);
        assert_eq!((report.count(), upstream.endpoints()[0].failures), (2, 0));
    });
    run(async {
        let address = streams(100, |_, _, _, mut respond| async move {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::Reset);
        assert_eq!(report.count(), 2);
    });
}

#[test]
fn a_reset_is_an_error_and_never_a_clean_end() {
    for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::NO_ERROR, h2::Reason::CANCEL] {
        run(async move {
            let address = streams(100, move |_, _, _, mut respond| async move {
                let mut stream = ok(&mut respond, false);
                stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                stream.send_reset(reason);
            })
            .await;
            let (client, upstream) = (client(), upstream(h2(address)).await);
            let (_sender, open) = channel();
            for body in [Body::full("x"), open] {
                let (response, _) = send(&client, &upstream, Method::POST, body).await;
                let error = text(response.unwrap()).await.expect_err("it was cut");
                assert_eq!(error.kind(), ErrorKind::Reset, "{reason:?}");
            }
        });
    }
}

#[test]
fn an_early_answer_is_whole_although_the_upload_is_reset() {
    run(async {
        // RFC 9113 section 8.1: the whole response, then RST_STREAM with NO_ERROR to stop the upload.
        let address = streams(100, |_, _, request, mut respond| async move {
            let mut stream = ok(&mut respond, false);
            stream.send_data(Bytes::from_static(b"enough"), true).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            stream.send_reset(h2::Reason::NO_ERROR);
            drop(request);
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (_sender, body) = channel();
        let (response, _) = send(&client, &upstream, Method::POST, body).await;
        assert_eq!(text(response.unwrap()).await.unwrap(), "enough");
    });
}

#[test]
fn a_reset_before_the_head_is_not_replayed_for_a_post() {
    run(async {
        let address = streams(100, |_, _, _, mut respond| async move {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::Reset);
        assert_eq!((report.count(), upstream.endpoints()[0].failures), (1, 1));
    });
}

#[test]
fn a_reset_on_a_live_connection_is_no_reason_to_send_again() {
    run(async {
        let address = streams(100, |_, number, _, mut respond| async move {
            if number == 0 {
                ok(&mut respond, true);
            } else {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        assert_eq!(get(&client, &upstream).await.0.unwrap().status, 200);
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::Reset);
        assert!(reused(&report));
        assert_eq!((report.count(), upstream.endpoints()[0].failures), (1, 1));
    });
}

#[test]
fn more_streams_than_the_limit_open_another_connection() {
    run(async {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let held = Rc::new(RefCell::new(Vec::new()));
        let hold = held.clone();
        let address = streams(1, move |connection, _, request, mut respond| {
            sender.send(connection).unwrap();
            let body = ok(&mut respond, false);
            hold.borrow_mut().push((body, request, respond));
            async {}
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let first = get(&client, &upstream).await.0.unwrap();
        let second = get(&client, &upstream).await.0.unwrap();
        assert_eq!((seen.recv().await, seen.recv().await), (Some(0), Some(1)));
        assert_eq!(client.pooled(), (0, 2));
        drop((first, second));
    });
}

#[test]
fn a_connection_never_carries_more_streams_than_its_window_has_room_for() {
    run(async {
        let address = streams(1000, |_, _, _request, mut respond| async move {
            let mut stream = ok(&mut respond, false);
            let _ = futures_util::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let mut open = Vec::new();
        for _ in 0..101 {
            open.push(get(&client, &upstream).await.0.unwrap());
        }
        assert_eq!(client.pooled(), (0, 2));
    });
}

#[test]
fn bodies_that_nobody_reads_stop_no_other() {
    run(async {
        let large = Bytes::from(vec![b'x'; 2 << 20]);
        let address = streams(100, move |_, number, _request, mut respond| {
            let body = if number < 10 { large.clone() } else { Bytes::from_static(b"ok") };
            async move {
                let mut stream = ok(&mut respond, false);
                stream.send_data(body, true).unwrap();
                let _ = futures_util::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let mut unread = Vec::new();
        for _ in 0..10 {
            unread.push(get(&client, &upstream).await.0.unwrap());
        }
        assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), "ok");
        assert_eq!(client.pooled(), (0, 1));
    });
}

#[test]
fn the_client_may_think_and_the_upstream_may_not() {
    run(async {
        let (sender, mut seen) = mpsc::unbounded_channel();
        let address = streams(100, move |_, _, request, respond| {
            let sender = sender.clone();
            async move {
                let mut body = request.into_body();
                sender.send(body.data().await.unwrap().unwrap()).unwrap();
                // Never answers.
                std::future::pending::<()>().await;
                drop((body, respond));
            }
        })
        .await;
        let mut config = h2(address);
        config.timeouts.response = Duration::from_millis(400);
        let (client, upstream) = (client(), upstream(config).await);
        let (feeder, body) = channel();
        tokio::task::spawn_local(async move {
            // Longer than the response timeout. Then it ends, and the upstream is the one to move.
            tokio::time::sleep(Duration::from_millis(600)).await;
            feeder.send("one").unwrap();
        });
        let sent = async {
            let (response, _) = send(&client, &upstream, Method::POST, body).await;
            response
        };
        let (result, first) = tokio::join!(sent, seen.recv());
        assert_eq!(first.unwrap(), "one", "it waited for the client");
        assert_eq!(result.err().unwrap().kind(), ErrorKind::ResponseTimeout);
    });
}

#[test]
fn a_whole_body_that_is_taken_slowly_is_no_silence() {
    run(async {
        const SIZE: usize = 4 << 20;
        let address = streams(100, |_, _, request, mut respond| async move {
            let mut body = request.into_body();
            let mut size = 0;
            while let Some(data) = body.data().await {
                let length = data.unwrap().len();
                size += length;
                tokio::time::sleep(Duration::from_millis(5)).await;
                body.flow_control().release_capacity(length).unwrap();
            }
            assert_eq!(size, SIZE);
            ok(&mut respond, true);
        })
        .await;
        let mut config = h2(address);
        config.timeouts.response = Duration::from_millis(500);
        let (client, upstream) = (client(), upstream(config).await);
        let began = tokio::time::Instant::now();
        let (response, _) = send(&client, &upstream, Method::PUT, Body::full(vec![b'x'; SIZE])).await;
        assert_eq!(response.unwrap().status, 200);
        assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());
    });
}

#[test]
fn dropping_a_response_resets_its_stream_with_cancel() {
    run(async {
        let (sender, mut reasons) = mpsc::unbounded_channel();
        let address = streams(100, move |_, number, _request, mut respond| {
            let sender = sender.clone();
            async move {
                if number == 0 {
                    let reason = futures_util::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    sender.send(reason.unwrap()).unwrap();
                    return;
                }
                let mut stream = ok(&mut respond, false);
                let reason = futures_util::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                sender.send(reason.unwrap()).unwrap();
            }
        })
        .await;
        let mut config = h2(address);
        config.timeouts.response = Duration::from_millis(500);
        let (client, upstream) = (client(), upstream(config).await);
        let (response, _) = get(&client, &upstream).await;
        assert_eq!(response.err().unwrap().kind(), ErrorKind::ResponseTimeout);
        assert_eq!(reasons.recv().await, Some(h2::Reason::CANCEL));
        drop(get(&client, &upstream).await.0.unwrap());
        // Also while the request body is still being sent.
        let (_sender, body) = channel();
        let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
        drop(response);
        assert_eq!(reasons.recv().await, Some(h2::Reason::CANCEL));
        assert_eq!(reasons.recv().await, Some(h2::Reason::CANCEL));
    });
}

#[test]
fn a_stream_that_flow_control_holds_up_is_cancelled_all_the_same() {
    run(async {
        let (sender, mut reasons) = mpsc::unbounded_channel();
        // Answers at once and takes nothing, so that the window is full of the first piece and the second one waits.
        let address = streams(100, move |_, _, request, mut respond| {
            let sender = sender.clone();
            async move {
                let mut stream = ok(&mut respond, false);
                stream.send_data(Bytes::from_static(b"on"), false).unwrap();
                let reason = futures_util::future::poll_fn(|cx| stream.poll_reset(cx)).await;
                sender.send(reason.unwrap()).unwrap();
                drop(request);
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        for _ in 0..3 {
            // It never ends: sooner or later nothing more is taken of it.
            let asked = Rc::new(std::cell::Cell::new(0));
            let count = asked.clone();
            let pieces = futures_util::stream::repeat_with(move || {
                count.set(count.get() + 1);
                Ok::<_, Error>(http_body::Frame::data(Bytes::from_static(&[b'x'; 32 << 10])))
            });
            let body = Body::boxed(http_body_util::StreamBody::new(pieces));
            let mut response = send(&client, &upstream, Method::POST, body).await.0.unwrap().body;
            assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "on");
            let mut before = 0;
            while before != asked.get() || before < 3 {
                before = asked.get();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(response);
            assert_eq!(reasons.recv().await, Some(h2::Reason::CANCEL));
            while Rc::strong_count(&asked) > 1 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(client.pooled(), (0, 1), "the others on the connection go on");
    });
}

#[test]
fn a_connection_in_use_is_not_thrown_away() {
    run(async {
        let (address, connections) = counting().await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        for _ in 0..20 {
            assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), "");
            client.sweep();
        }
        assert_eq!(connections.get(), 1);
        // Without use it goes.
        (0..7).for_each(|_| client.sweep());
        assert_eq!(client.pooled(), (0, 0));
    });
}

#[test]
fn a_connection_that_goes_away_is_replaced() {
    run(async {
        // Each connection serves one request and says GOAWAY.
        let address = raw(|_, socket| async move {
            let mut server = h2::server::handshake(socket.io).await.unwrap();
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            ok(&mut respond, true);
            server.graceful_shutdown();
            while server.accept().await.is_some() {}
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        for _ in 0..5 {
            let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
            assert_eq!(response.unwrap().status, 200);
            assert!(report.count() <= 2);
        }
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
}

#[test]
fn waiting_requests_share_the_error_of_one_connection_attempt() {
    run(async {
        let upstream = upstream(h2(nobody().await)).await;
        let client = client();
        let requests = (0..5).map(|_| get(&client, &upstream));
        for (response, report) in futures_util::future::join_all(requests).await {
            assert_eq!((response.err().unwrap().kind(), report.count()), (ErrorKind::Connect, 1));
        }
        assert_eq!(upstream.endpoints()[0].failures, 1, "who only waited has nothing to count");
    });
}

#[test]
fn a_replay_does_not_land_on_another_dead_connection() {
    run(async {
        // Two connections carry a stream each; then both die without a word, while a third one lives.
        let address = raw(|number, socket| async move {
            let mut builder = h2::server::Builder::new();
            builder.max_concurrent_streams(1);
            let mut server = builder.handshake::<_, Bytes>(socket.io).await.unwrap();
            let mut open = Vec::new();
            for _ in 0..if number < 2 { 1 } else { 9 } {
                let Some(Ok((_, mut respond))) = server.accept().await else { return };
                open.push(ok(&mut respond, false));
            }
            // The next request is read, and gets the end of the connection for an answer.
            let _ = server.accept().await;
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let first = get(&client, &upstream).await.0.unwrap();
        let second = get(&client, &upstream).await.0.unwrap();
        assert_eq!(client.pooled(), (0, 2));
        drop((first, second));
        let (response, report) = get(&client, &upstream).await;
        assert_eq!(response.unwrap().status, 200);
        assert_eq!((report.count(), reused(&report)), (2, false));
    });
}

/// Answers every request over HTTP/2 with these fields.
async fn answering(fields: Vec<(String, &'static str)>) -> SocketAddr {
    raw(move |_, socket| {
        let fields = fields.clone();
        let service = hyper::service::service_fn(move |_: Request<Incoming>| {
            let mut response = http::Response::builder();
            for (name, value) in &fields {
                response = response.header(name, *value);
            }
            let response = response.body(http_body_util::Empty::<Bytes>::new()).unwrap();
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        async move {
            let io = TokioIo::new(socket.io);
            let _ = hyper::server::conn::http2::Builder::new(LocalExecutor).serve_connection(io, service).await;
        }
    })
    .await
}

#[test]
fn the_number_of_fields_is_limited_as_over_http1() {
    run(async {
        // Beside the date, which the server adds.
        for (count, passes) in [(99, true), (100, false)] {
            let address = answering((0..count).map(|number| (format!("x-{number}"), "1")).collect()).await;
            let (client, upstream) = (client(), upstream(h2(address)).await);
            let result = get(&client, &upstream).await.0.map(drop).map_err(|error| error.kind());
            assert_eq!(result, if passes { Ok(()) } else { Err(ErrorKind::ResponseHeadTooLarge) }, "{count}");
        }
    });
}

#[test]
fn a_malformed_response_is_not_passed_on() {
    run(async {
        let address = answering(vec![("x-a".to_owned(), "1 ")]).await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let error = get(&client, &upstream).await.0.err().expect("malformed");
        assert_eq!(error.kind(), ErrorKind::Protocol);
    });
}

/// Notes the interim responses that a request's client would get.
#[derive(Default)]
struct Hints(RefCell<Vec<(u16, Vec<String>)>>);

impl crate::message::WriteInterim for Hints {
    fn write(&self, status: http::StatusCode, fields: FieldMap) -> bool {
        let fields = fields.names().map(|name| name.expose_str().to_owned()).collect();
        self.0.borrow_mut().push((status.as_u16(), fields));
        true
    }
}

fn interim(status: u16, fields: &[(&'static str, &'static str)]) -> http::Response<()> {
    let mut response = http::Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

/// What a request comes to, with its interim responses, where the upstream sends these first.
async fn hinted(heads: Vec<http::Response<()>>) -> (Answer, Vec<(u16, Vec<String>)>) {
    let address = streams(100, move |_, _, _, mut respond| {
        let heads = heads.clone();
        async move {
            for head in heads {
                respond.send_informational(head).unwrap();
            }
            ok(&mut respond, true);
        }
    })
    .await;
    let (client, upstream) = (client(), upstream(h2(address)).await);
    let hints = Rc::new(Hints::default());
    let request = Outbound { interim: Interim::to(hints.clone()), ..outbound(Method::GET, Body::empty()) };
    let answer = client.send(&upstream, request, &Report::new(std::time::Instant::now())).await;
    let hints = hints.0.take();
    (answer, hints)
}

#[test]
fn interim_responses_go_before_the_response_and_100_ends_here() {
    run(async {
        let links = [("link", "</a>"), ("content-length", "0"), ("x-a", "1")];
        let heads = vec![interim(100, &[]), interim(103, &links), interim(102, &[]), interim(103, &[("link", "</b>")])];
        let (answer, hints) = hinted(heads).await;
        assert_eq!(answer.unwrap().status, 200);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(hints, [(103, names(&["link", "x-a"])), (102, names(&[])), (103, names(&["link"]))]);
    });
}

#[test]
fn interim_responses_without_an_end_or_malformed_are_the_upstream_s_fault() {
    run(async {
        let (answer, hints) = hinted(vec![interim(103, &[("link", "</a>")]); 10_000]).await;
        let error = answer.err().expect("no head");
        assert!(error.kind() == ErrorKind::Protocol && error.detail().contains("interim"), "{error}");
        assert_eq!(hints.len(), (64 << 10) / (32 + "link</a>".len() + 32));
        let (answer, hints) = hinted(vec![interim(103, &[("link", "</a>")]); 500]).await;
        assert_eq!((answer.unwrap().status.as_u16(), hints.len()), (200, 500), "a decent number passes");
        for malformed in [interim(101, &[]), interim(103, &[("x-a", "1 ")])] {
            let (answer, hints) = hinted(vec![malformed]).await;
            assert_eq!((answer.err().expect("no head").kind(), hints.len()), (ErrorKind::Protocol, 0));
        }
    });
}

#[test]
fn a_request_that_was_answered_by_interim_responses_does_not_go_again() {
    run(async {
        let address = streams(100, |_, _, _, mut respond| async move {
            respond.send_informational(interim(102, &[])).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (response, report) = get(&client, &upstream).await;
        assert_eq!((response.err().unwrap().kind(), report.count()), (ErrorKind::Reset, 1));
    });
}

#[test]
fn the_upload_goes_on_while_nobody_reads_the_response() {
    run(async {
        const PIECES: usize = 100;
        let (sender, mut received) = mpsc::unbounded_channel();
        let address = streams(100, move |_, _, request, mut respond| {
            let sender = sender.clone();
            async move {
                let mut stream = ok(&mut respond, false);
                let mut body = request.into_body();
                let mut size = 0;
                while let Some(data) = body.data().await {
                    let length = data.unwrap().len();
                    size += length;
                    body.flow_control().release_capacity(length).unwrap();
                }
                sender.send(size).unwrap();
                stream.send_data(Bytes::from_static(b"all"), true).unwrap();
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        let (feeder, body) = channel();
        let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
        let piece: &'static str = "x".repeat(16 << 10).leak();
        (0..PIECES).for_each(|_| feeder.send(piece).unwrap());
        drop(feeder);
        assert_eq!(received.recv().await, Some(PIECES * piece.len()));
        assert_eq!(text(response).await.unwrap(), "all");
    });
}

#[test]
fn what_waits_of_a_body_is_taken_back_when_the_response_has_ended() {
    run(async {
        let (sender, mut reasons) = mpsc::unbounded_channel();
        // Answers without taking anything, and says no more.
        let address = streams(100, move |_, _, request, mut respond| {
            let sender = sender.clone();
            async move {
                ok(&mut respond, false).send_data(Bytes::from_static(b"no"), true).unwrap();
                let mut body = request.into_body();
                let reason = loop {
                    match body.data().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break error.reason(),
                        None => break None,
                    }
                };
                sender.send(reason).unwrap();
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        for _ in 0..2 {
            let body = Body::full(vec![b'x'; 4 << 20]);
            let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
            assert_eq!(text(response).await.unwrap(), "no");
            assert_eq!(reasons.recv().await, Some(Some(h2::Reason::CANCEL)));
        }
    });
}

#[test]
fn a_body_that_fails_ends_its_stream_with_cancel_and_is_the_client_s_doing() {
    run(async {
        let (sender, mut reasons) = mpsc::unbounded_channel();
        let address = streams(100, move |_, number, request, mut respond| {
            let sender = sender.clone();
            async move {
                let stream = (number > 0).then(|| ok(&mut respond, false));
                let mut body = request.into_body();
                let reason = loop {
                    match body.data().await {
                        Some(Ok(_)) => {}
                        Some(Err(error)) => break error.reason(),
                        None => break None,
                    }
                };
                sender.send(reason).unwrap();
                drop((stream, respond));
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        for number in 0..2 {
            let (feeder, failing) = mpsc::unbounded_channel::<()>();
            let pieces = futures_util::stream::unfold((failing, 0), |(mut failing, sent)| async move {
                match sent {
                    0 => Some((Ok(http_body::Frame::data(Bytes::from_static(b"abc"))), (failing, 1))),
                    1 => {
                        failing.recv().await;
                        Some((Err(Error::new(ErrorKind::ClientGone, "it left")), (failing, 2)))
                    }
                    _ => None,
                }
            });
            let body = Body::boxed(http_body_util::StreamBody::new(pieces.boxed_local()));
            let error = if number == 0 {
                drop(feeder);
                send(&client, &upstream, Method::POST, body).await.0.err().expect("no head")
            } else {
                let response = send(&client, &upstream, Method::POST, body).await.0.unwrap();
                drop(feeder);
                text(response).await.expect_err("it was cut")
            };
            assert_eq!(error.kind(), ErrorKind::ClientGone);
            assert_eq!(reasons.recv().await, Some(Some(h2::Reason::CANCEL)));
        }
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
}

/// A server in a thread of its own, which works while the test's thread stands still: each connection serves one request,
/// and ends when it is told to.
fn elsewhere() -> (SocketAddr, std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (end, told) = std::sync::mpsc::channel::<()>();
    let (ended, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((io, _)) = listener.accept().await {
                let mut server = h2::server::handshake(io).await.unwrap();
                let (_, mut respond) = server.accept().await.unwrap().unwrap();
                ok(&mut respond, true);
                // Until the response is out.
                let _ = tokio::time::timeout(Duration::from_millis(50), server.accept()).await;
                if told.recv().is_err() {
                    return;
                }
                drop(server);
                if ended.send(()).is_err() {
                    return;
                }
            }
        });
    });
    (address, end, over)
}

#[test]
fn a_request_of_which_nothing_was_written_goes_again_whatever_the_method() {
    let (address, end, ended) = elsewhere();
    run(async move {
        let (client, upstream) = (client(), upstream(h2(address)).await);
        assert_eq!(get(&client, &upstream).await.0.unwrap().status, 200);
        // While this thread stands still, the connection dies. With the next look at the sockets and the clock this task goes
        // on, before the connection's hears of it.
        let mut soon = std::pin::pin!(tokio::time::sleep(Duration::from_millis(1)));
        assert!(futures_util::poll!(soon.as_mut()).is_pending());
        end.send(()).unwrap();
        ended.recv().unwrap();
        soon.await;
        let (response, report) = send(&client, &upstream, Method::POST, Body::full("x")).await;
        assert_eq!(response.unwrap().status, 200);
        assert_eq!((report.count(), reused(&report)), (2, false));
        assert_eq!(upstream.endpoints()[0].failures, 0);
    });
}

#[test]
fn a_connection_without_use_is_closed() {
    run(async {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let address = raw(move |_, socket| {
            let sender = sender.clone();
            async move {
                serve(socket.io, true).await;
                sender.send(()).unwrap();
            }
        })
        .await;
        let (client, upstream) = (client(), upstream(h2(address)).await);
        assert_eq!(text(get(&client, &upstream).await.0.unwrap()).await.unwrap(), "");
        (0..8).for_each(|_| client.sweep());
        assert_eq!(client.pooled(), (0, 0));
        ended.recv().await.expect("the socket is closed");
    });
}
