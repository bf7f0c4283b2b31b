//! Runs the contract suite on ALI_CLOUD.

use infra_provider::testing::contract;

use crate::scene::{Scene, cloud, wanted};

#[tokio::test(start_paused = true)]
async fn it_keeps_them() {
    let scene = Scene::new(cloud());
    contract(&scene.provider(), &wanted(1, 1), &wanted(1, 2), scene.state.path()).await;
    scene.assert_empty("after the contract");
    assert_eq!(scene.double.instances_made(), 3);
}
