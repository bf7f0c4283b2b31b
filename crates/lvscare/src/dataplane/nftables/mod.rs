//! Balances by nftables, where the kernel has no IPVS.
//!
//! Each virtual service has a table of its own, of which this is all:
//!
//! ```text
//! table ip lvscare-10.103.97.2-6443 {
//!     map weights {
//!         type ipv4_addr . inet_service : mark
//!         size 256
//!         elements = { 10.0.0.1 . 6443 : 0x00000001, 10.0.0.2 . 6443 : 0x00000001 }
//!     }
//!     chain balance {
//!         ip daddr 10.103.97.2 tcp dport 6443 dnat to numgen inc mod 2 map { 0 : 10.0.0.1 . 6443, 1 : 10.0.0.2 . 6443 } comment "scheduler rr"
//!         ip daddr 10.103.97.2 tcp dport 6443 dnat to 10.0.0.1:6443 comment "while the rules are replaced"
//!     }
//!     chain output { type nat hook output priority dstnat; policy accept; jump balance }
//!     chain prerouting { type nat hook prerouting priority dstnat; policy accept; jump balance }
//! }
//! ```
//!
//! The map `weights` takes part in nothing: it remembers what was wanted, servers of weight 0 included. Every change is
//! one transaction; changes of servers keep table and chains. The second rule is for packets that are between the first
//! rule and its map when a transaction takes both away. The kernel is spoken to by netlink, so no `nft` program is
//! needed.

mod expression;
mod places;
mod plane;
mod table;

pub use plane::Nftables;
