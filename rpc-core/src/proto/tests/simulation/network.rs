//! The network: links that are cut, that lose one direction, and whose ends learn of it late or never.

use std::collections::VecDeque;

use bytes::Bytes;

use super::random::Random;
use crate::error::CloseCode;

/// What is on its way to one end of a link.
#[derive(Debug)]
pub(super) enum OnItsWay {
    Packet(Bytes),
    /// The other end has closed the link.
    Close(CloseCode),
    /// The link is broken.
    Lost,
}

/// One direction of a link.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) queue: VecDeque<OnItsWay>,
    /// What has gone into a black hole, from which it comes out if the link is revived.
    held: VecDeque<OnItsWay>,
    /// What goes in never comes out, and neither end is told.
    is_black_hole: bool,
    /// Nothing goes in any more.
    is_closed: bool,
}

impl Pipe {
    pub(super) fn push(&mut self, item: OnItsWay) {
        if self.is_closed {
            return;
        }
        self.is_closed = !matches!(item, OnItsWay::Packet(_));
        if self.is_black_hole { &mut self.held } else { &mut self.queue }.push_back(item);
    }

    /// Drops all but a part of what is on its way. The end hears of it, or never.
    fn cut(&mut self, random: &mut Random) {
        let kept = random.below(self.queue.len() + 1);
        self.queue.truncate(kept);
        self.held.clear();
        self.is_closed = true;
        if random.once_in(3) {
            self.is_black_hole = true;
        } else {
            self.queue.push_back(OnItsWay::Lost);
        }
    }
}

/// A link between the client and the server.
#[derive(Debug, Default)]
pub(super) struct NetLink {
    pub(super) to: [Pipe; 2],
}

impl NetLink {
    /// Each direction delivers a part of what is on its way, however much of the other is delivered.
    pub(super) fn cut(&mut self, random: &mut Random) {
        self.to.iter_mut().for_each(|pipe| pipe.cut(random));
    }

    /// Both directions stop without a word, as when a dial hangs.
    pub(super) fn hang(&mut self) {
        self.to.iter_mut().for_each(|pipe| pipe.is_black_hole = true);
    }

    /// What has stopped goes on, however long that was ago.
    pub(super) fn revive(&mut self) {
        for pipe in &mut self.to {
            pipe.is_black_hole = false;
            pipe.queue.append(&mut pipe.held);
        }
    }

    /// One direction stops without a word.
    pub(super) fn stop_one_way(&mut self, random: &mut Random) {
        self.to[random.below(2)].is_black_hole = true;
    }
}
