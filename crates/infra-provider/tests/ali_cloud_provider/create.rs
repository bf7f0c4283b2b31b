//! How many calls and how much time does it take, on a cloud that behaves?

use cloud_double::{Options, Timing};

use crate::scene::{Scene, cloud, wanted};

async fn measure(timing: Timing) {
    let first = Scene::new(Options { timing, ..cloud() });
    let began = tokio::time::Instant::now();
    let made = first.provision(&wanted(3, 3)).await.unwrap();
    println!("blind: {:.2} s, {} calls, {} refused", began.elapsed().as_secs_f64(), first.double.calls().len(), first.double.refused().len());
    println!("{}", first.log().join("\n"));
    first.double.forget_calls();
    let began = tokio::time::Instant::now();
    first.delete(&made).await.unwrap();
    println!("delete: {:.2} s, {} calls, {} refused", began.elapsed().as_secs_f64(), first.double.calls().len(), first.double.refused().len());
    println!("{}", first.log().join("\n"));
    println!("{:?}", first.double.leftovers());

    let second = Scene::with_waits(Options { timing, ..cloud() }, &first.waits);
    let began = tokio::time::Instant::now();
    let made = second.provision(&wanted(3, 3)).await.unwrap();
    println!("learned: {:.2} s, {} calls, {} refused", began.elapsed().as_secs_f64(), second.double.calls().len(), second.double.refused().len());
    println!("{}", second.log().join("\n"));
    second.double.forget_calls();
    let began = tokio::time::Instant::now();
    second.delete(&made).await.unwrap();
    println!("delete: {:.2} s, {} calls, {} refused", began.elapsed().as_secs_f64(), second.double.calls().len(), second.double.refused().len());
    println!("{}", second.log().join("\n"));
    println!("{:?}", second.double.leftovers());
}

#[tokio::test(start_paused = true)]
async fn a_quick_day() {
    measure(Timing::A).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_day() {
    measure(Timing::B).await;
}
