package io.cloudanix.jit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import hudson.AbortException;
import java.io.IOException;
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException;
import org.junit.Test;

/** How can a block end that does not end by itself, and what of it may the revoke change? */
public class EndTest {
    /** A revoke has half a minute. */
    private static final long FASTER = 20;

    @Test
    public void an_abort_ends_the_grant_and_stays_an_abort() throws Exception {
        try (Build build = new Build("token")) {
            build.start("cloudanixElevate(policy: 'p') { sh 'touch running; sleep 60' }", 1).when("running");
            build.engine().abort();
            assertEquals("somebody", ((FlowInterruptedException) build.failure()).why());
            assertTrue(build.story().toString(), build.story().contains("step ended interrupted"));
            assertTrue(build.story().contains("revoked"));
            build.leavesNothing();
        }
    }

    @Test
    public void an_abort_while_the_grant_is_being_asked_for_leaves_nothing() throws Exception {
        try (Build build = new Build("token")) {
            build.tool("cloudanix-jit", "#!/bin/sh\ntrap 'echo undone >>$FAKE_RECORD; exit 143' TERM\n"
                + "echo asking >>$FAKE_RECORD\nwhile :; do sleep 0.1; done\n");
            build.start("cloudanixElevate(policy: 'p') { sh 'touch ran' }", 1).whenRecorded("asking");
            build.engine().abort();
            assertEquals(FlowInterruptedException.class, build.failure().getClass());
            assertTrue(build.recorded().contains("undone"));
            assertFalse(build.home.resolve("workspace/ran").toFile().exists());
            build.leavesNothing();
        }
    }

    @Test
    public void a_revoke_that_hangs_is_left_to_the_broker_and_the_build_goes_on() throws Exception {
        try (Build build = new Build("stuck")) {
            Object value = build.start("return cloudanixElevate(policy: 'p') { sh 'true'; 'made' }", FASTER).value();
            assertEquals("made", value);
            assertTrue(build.engine().log(), build.engine().log().contains("no process waited for the revoke"));
            build.saysNoSecret();
        }
    }

    @Test
    public void a_revoke_that_hangs_does_not_hide_why_the_block_failed() throws Exception {
        try (Build build = new Build("stuck")) {
            Throwable thrown = build.start("cloudanixElevate(policy: 'p') { error('boom') }", FASTER).failure();
            assertEquals(AbortException.class, thrown.getClass());
            assertEquals("boom", thrown.getMessage());
            build.saysNoSecret();
        }
    }

    @Test
    public void an_abort_during_the_revoke_is_an_abort() throws Exception {
        try (Build build = new Build("stuck")) {
            build.start("cloudanixElevate(policy: 'p') { sh 'true' }; sh 'touch after'", 1).whenRecorded("step");
            build.engine().abort();
            assertEquals("somebody", ((FlowInterruptedException) build.failure()).why());
            assertFalse(build.home.resolve("workspace/after").toFile().exists());
        }
    }

    @Test
    public void an_abort_during_the_revoke_does_not_hide_why_the_block_failed() throws Exception {
        try (Build build = new Build("stuck")) {
            build.start("cloudanixElevate(policy: 'p') { error('boom') }", 1).whenRecorded("step");
            build.engine().abort();
            assertEquals("boom", build.failure().getMessage());
        }
    }

    @Test
    public void an_agent_that_is_lost_is_what_the_block_failed_of() throws Exception {
        try (Build build = new Build("token")) {
            build.start("cloudanixElevate(policy: 'p') { sh 'touch running; sleep 2' }", 1).when("running");
            build.engine().agentLost();
            Throwable thrown = build.failure();
            assertEquals(IOException.class, thrown.getClass());
            assertEquals("the agent has gone", thrown.getMessage());
            assertTrue(build.engine().log(), build.engine().log().contains("not revoked from here"));
            build.saysNoSecret();
        }
    }

    @Test
    public void a_limit_on_one_step_of_the_block_ends_the_grant_and_it_is_said() throws Exception {
        try (Build build = new Build("token")) {
            build.start("cloudanixElevate(policy: 'p') {\n"
                + "  try { timeout(time: 10, unit: 'SECONDS') { sh 'sleep 60' } } catch (InterruptedException late) { }\n"
                + "  sh 'until grep -q ^revoked \"$FAKE_RECORD\"; do sleep 0.05; done' }", FASTER).value();
            assertTrue(build.engine().log(), build.engine().log().contains("had ended before its block did"));
            build.leavesNothing();
        }
    }
}
