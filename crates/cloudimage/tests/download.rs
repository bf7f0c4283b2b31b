//! Files of URLs: limits, names, checksums, and all that are missing.

#![allow(clippy::unwrap_used, missing_docs)]

mod bench;

use bench::Bench;
use cloudimage::Error;

#[tokio::test]
async fn files_are_downloaded_with_a_limit() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let count = connection.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            // Without a length, so that only counting can enforce the limit.
            let body = "x".repeat(if text.contains("large") { 5000 } else { 100 });
            let status = match () {
                () if text.contains("missing") => "404 Not Found",
                () if text.contains("moved") => "302 Found\r\nLocation: /blob/77aa?sig=1",
                () => "200 OK",
            };
            let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let bench = Bench::new();
    let options = bench.options_with(|options| options.download_limit = 1000);
    let kubefile = |name: &str| format!("FROM scratch\nCOPY http://{address}/path/{name}?query=1 manifests/\n");
    bench.build_with(&kubefile("small.yaml"), &options).await.unwrap();
    assert_eq!(bench.images().get("shop:1.4").unwrap().list_files().unwrap(), ["manifests/small.yaml"]);
    bench.build_with(&kubefile("small.yaml"), &options).await.unwrap();
    assert_eq!(bench.cached(), [true], "the same content is the same layer");
    bench.build_with(&kubefile("moved%2B1.yaml"), &options).await.unwrap();
    let files = bench.images().get("shop:1.4").unwrap().list_files().unwrap();
    assert_eq!(files, ["manifests/moved+1.yaml"], "the name is the one that was written");
    let app = format!("FROM scratch\nAPP web http://{address}/moved/web.sh http://{address}/moved/db.sh\n");
    bench.build_with(&app, &options).await.unwrap();
    let application = bench.images().get("shop:1.4").unwrap().extension().applications[0].clone();
    assert_eq!((application.kind.as_str(), application.files.len()), ("shell", 2));
    let message = bench.build_with(&kubefile("large.yaml"), &options).await.unwrap_err().to_string();
    assert!(message.contains("line 2: cannot download") && message.contains("longer than 1000 bytes"), "{message}");
    let message = bench.build_with(&kubefile("missing.yaml"), &options).await.unwrap_err().to_string();
    assert!(message.contains("404 Not Found"), "{message}");

    // All that a mirror lacks is told at once.
    let line = |name: &str| format!("ADD http://{address}/{name} bin/\n");
    let several = ["missing/a", "small.yaml", "missing/b", "missing/a", "missing/c"].map(line).concat();
    let message = bench.build_with(&format!("FROM scratch\n{several}"), &options).await.unwrap_err().to_string();
    assert!(message.starts_with("3 files cannot be downloaded:\n  line 2: "), "{message}");
    assert!(message.contains("line 4: ") && message.contains("line 6: ") && !message.contains("small"), "{message}");
}

#[tokio::test]
async fn a_downloaded_file_has_the_sum_that_is_asked_for() {
    let address = serve_text("tool").await;
    let bench = Bench::new();
    let sum = content_store::Digest::of(b"tool").hex().to_owned();
    let add = |sum: &str| format!("FROM scratch\nARG SUM\nADD --checksum=sha256:{sum} http://{address}/tool bin/\n");
    bench.build(&add(&sum)).await.unwrap();
    assert_eq!(bench.images().get("shop:1.4").unwrap().list_files().unwrap(), ["bin/tool"]);
    let other = "0".repeat(64);
    let error = bench.build(&add(&other)).await.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Checksum { line: 3, .. }), "{message}");
    assert!(message.contains(&format!("wanted sha256:{other}, found sha256:{sum}")), "{message}");
    // The sum may come from a variable, and is looked at when that is known.
    let message = bench.build(&add("$SUM")).await.unwrap_err().to_string();
    assert!(message.contains("Kubefile has errors"), "{message}");
}

/// A server that answers every request with this text.
async fn serve_text(body: &'static str) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let _ = connection.read(&mut request).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}
