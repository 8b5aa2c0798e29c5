//! Role: parent of all rooms. Restarts none: the directory does, because
//! only it knows who follows and what is outstanding.
//! Per child: a room that ended or failed → the directory is told.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::directory::Directory;

/// What the supervisor starts with.
pub struct SupervisorArguments {
    /// Whom it tells of ends.
    pub directory: Directory,
}

/// The actor.
pub struct RoomSupervisor;

/// State of the actor.
pub struct State {
    directory: Directory,
}

impl Actor for RoomSupervisor {
    type Msg = ();
    type State = State;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        args: SupervisorArguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            directory: args.directory,
        })
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let room = match event {
            SupervisionEvent::ActorTerminated(room, _, _) => room,
            SupervisionEvent::ActorFailed(room, error) => {
                metrics::counter!("fanfare_rooms_failed_total").increment(1);
                tracing::error!(%error, "room failed");
                room
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        state.directory.ended(room.get_id());
        Ok(())
    }
}
