//! The in-memory stand-in passes the contract suite.
#![allow(clippy::unwrap_used)]

use futures_util::StreamExt;
use registry_client::contract::{Fixture, contract, write_contract};
use registry_client::{Error, Memory, Registry};

#[tokio::test]
async fn memory_keeps_the_contract() {
    let memory = Memory::default();
    let fixture = Fixture::new("registry.example:5000");
    fixture.fill(&memory);
    contract(&memory, &fixture).await;
    write_contract(&memory, &fixture).await;
    assert!(memory.requested().iter().any(|title| title.contains("contract/none")));
}

#[tokio::test]
async fn a_blob_broken_on_purpose_breaks_once() {
    let memory = Memory::default();
    let fixture = Fixture::new("registry.example");
    let digest = memory.add_blob(&fixture.image, fixture.blobs[2].clone());
    memory.break_blob(&digest);
    let items: Vec<_> = memory.blob(&fixture.image, &digest, 0).await.unwrap().stream.collect().await;
    assert!(matches!(items.last(), Some(Err(Error::Interrupted { .. }))));
    let read: usize = items.iter().flatten().map(bytes::Bytes::len).sum();
    assert_eq!(read, fixture.blobs[2].len() / 2);
    let rest: Vec<_> = memory.blob(&fixture.image, &digest, read as u64).await.unwrap().stream.collect().await;
    assert_eq!(read + rest.into_iter().map(|item| item.unwrap().len()).sum::<usize>(), fixture.blobs[2].len());
}
