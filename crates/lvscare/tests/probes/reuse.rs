//! Tests of when a connection is used again.

use std::time::Duration;

use lvscare::{Probe, UnhealthyKind};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::server::{OK, Server, answer_all, request, until_closed};
use crate::{assert_fails, check, http, within};

#[tokio::test]
async fn one_connection_serves_many_checks() {
    let server = Server::answering(OK).await;
    let probe = http();
    for _ in 0..50 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn bad_news_do_not_cost_a_connection_each() {
    let server = Server::answering("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n").await;
    let probe = http();
    for _ in 0..10 {
        assert_fails(check(&probe, server.address).await, UnhealthyKind::Answer, "503");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_is_healthy() {
    for said in ["Connection: close\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\n{said}Content-Length: 2\r\n\r\nok");
        let server = Server::closing(answer).await;
        let probe = http();
        for _ in 0..10 {
            assert_eq!(check(&probe, server.address).await, Ok(()));
        }
        assert_eq!(server.connections(), 10);
    }
}

#[tokio::test]
async fn what_a_closing_server_says_unasked_is_no_answer() {
    let farewell: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let server = Server::raw(move |mut stream, _| {
        Box::pin(async move {
            request(&mut stream).await;
            let _ = stream.write_all(OK).await;
            sleep(Duration::from_millis(20)).await;
            let _ = stream.write_all(farewell).await;
        })
    })
    .await;
    let probe = http();
    for pause in [0, 10, 20, 21, 40, 15, 18] {
        assert_eq!(check(&probe, server.address).await, Ok(()));
        sleep(Duration::from_millis(pause)).await;
    }
}

#[tokio::test]
async fn a_connection_on_which_something_came_unasked_is_not_used_again() {
    let server = Server::raw(|mut stream, number| {
        Box::pin(async move {
            request(&mut stream).await;
            let _ = stream.write_all(OK).await;
            if number == 0 {
                sleep(Duration::from_millis(10)).await;
                let _ = stream.write_all(b"HTTP/1.1 500 half an ans").await;
            }
            answer_all(stream, OK.to_vec()).await;
        })
    })
    .await;
    let probe = http();
    for _ in 0..3 {
        assert_eq!(check(&probe, server.address).await, Ok(()));
        sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_dropped_check_leaves_nothing_behind() {
    let server = Server::raw(|mut stream, number| {
        Box::pin(async move {
            if number == 0 {
                until_closed(&mut stream).await;
            } else {
                answer_all(stream, OK.to_vec()).await;
            }
        })
    })
    .await;
    let probe = http();
    let answer = within(Duration::from_millis(50), &probe, server.address).await;
    assert_fails(answer, UnhealthyKind::TimedOut, "in time");
    assert_eq!(check(&probe, server.address).await, Ok(()));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_second_check_does_not_wait_for_the_first() {
    let server = Server::raw(|mut stream, number| {
        Box::pin(async move {
            if number == 0 {
                request(&mut stream).await;
                let _ = stream.write_all(OK).await;
                until_closed(&mut stream).await;
            } else {
                answer_all(stream, OK.to_vec()).await;
            }
        })
    })
    .await;
    let probe = http();
    assert_eq!(check(&probe, server.address).await, Ok(()));
    let first = probe.check(server.address);
    let second = async {
        sleep(Duration::from_millis(20)).await;
        probe.check(server.address).await
    };
    tokio::select! {
        _ = first => panic!("the first check goes over the stuck connection"),
        answer = second => assert_eq!(answer, Ok(())),
    }
}
