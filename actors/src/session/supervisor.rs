//! Role: parent of session actors (several, to spread the load).
//! Per child: a session that failed is not started again; its socket closes
//! with 1011 (its state does that when it is dropped), the client resumes.

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

/// The actor.
pub struct SessionSupervisor;

impl Actor for SessionSupervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            metrics::counter!("fanfare_sessions_failed_total").increment(1);
            tracing::error!(%error, "session failed");
        }
        Ok(())
    }
}
