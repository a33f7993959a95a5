package io.cloudanix.jit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertTrue;

import hudson.AbortException;
import java.util.List;
import org.junit.Test;

/** What is a block of steps given, and what is left when it is over? */
public class BlockTest {
    private static final List<String> GIVEN_AND_TAKEN = List.of(
        "auth token of " + Build.AUTH_TOKEN.length() + " bytes", "OIDC token in a file", "elevated",
        "step ended 0", "revoked");

    @Test
    public void a_block_of_several_steps_has_a_grant_and_gives_it_back() throws Exception {
        try (Build build = new Build("token")) {
            Object value = build.succeeds(
                "return cloudanixElevate(policy: 'orders-read,orders-write', ttl: '90s', reason: 'a \"b\" $c') {\n"
                + "  sh 'cat \"$CLOUDANIX_GRANT_TOKEN_FILE\" > token; stat -c %a \"$CLOUDANIX_GRANT_TOKEN_FILE\" > mode'\n"
                + "  sh 'env > environment'\n"
                + "  return \"made with ${env.CLOUDANIX_GRANT_ID}\".toString()\n"
                + "}");
            assertEquals(GIVEN_AND_TAKEN, build.story());
            assertEquals(Build.SECRET, build.workspace("token"));
            assertEquals("600", build.workspace("mode"));
            assertTrue(value.toString(), value.toString().startsWith("made with elev-"));
            String environment = build.workspace("environment");
            for (String name : List.of("CLOUDANIX_AUTH_TOKEN", "CLOUDANIX_OIDC_TOKEN_FILE", "CLOUDANIX_JIT_POLICY")) {
                assertFalse(name, environment.contains(name + "="));
            }
            assertFalse(environment, environment.contains(Build.SECRET));
            List<String> said = build.recorded();
            for (String argument : List.of("run", "--policy=orders-read,orders-write", "--ttl=90s", "--timeout=60s",
                    "--wait=10m", "--aws-credentials=auto", "--reason=a \"b\" $c")) {
                assertTrue(argument + " in " + said, said.contains("argument " + argument));
            }
            assertFalse(said.contains("argument --no-live-actions"));
            assertTrue(build.engine().log(), build.engine().log().contains("✓ revoke · elev-"));
            build.leavesNothing();
        }
    }

    @Test
    public void what_the_block_throws_is_thrown_and_the_grant_is_given_back() throws Exception {
        try (Build build = new Build("token")) {
            Throwable thrown = build.fails("cloudanixElevate(policy: 'p') { sh 'exit 7' }");
            assertEquals(AbortException.class, thrown.getClass());
            assertEquals("script returned exit code 7", thrown.getMessage());
            assertEquals(GIVEN_AND_TAKEN, build.story());
            build.leavesNothing();
        }
    }

    @Test
    public void a_block_that_was_denied_its_grant_does_not_run() throws Exception {
        try (Build build = new Build("nothing")) {
            Throwable thrown = build.fails("cloudanixElevate(policy: 'p') { sh 'touch ran' }");
            assertEquals("script returned exit code 3", thrown.getMessage());
            assertTrue(build.engine().log(), build.engine().log().contains("✗ denied"));
            assertFalse(build.home.resolve("workspace/ran").toFile().exists());
            build.leavesNothing();
        }
    }

    @Test
    public void blocks_side_by_side_have_a_grant_each() throws Exception {
        try (Build build = new Build("token")) {
            // Each ends only when the other has begun, and the first leaves while the second still needs its own.
            build.succeeds("parallel(\n"
                + "  one: { cloudanixElevate(policy: 'p') {\n"
                + "    sh 'echo $CLOUDANIX_GRANT_ID > one; until [ -e two ]; do sleep 0.05; done' } \n"
                + "    sh 'touch left' },\n"
                + "  two: { cloudanixElevate(policy: 'p') {\n"
                + "    sh 'echo $CLOUDANIX_GRANT_ID > two; until [ -e left ]; do sleep 0.05; done'\n"
                + "    sh 'cat \"$CLOUDANIX_GRANT_TOKEN_FILE\" > token' } })");
            String one = build.workspace("one");
            String two = build.workspace("two");
            assertNotEquals(one, two);
            assertEquals(Build.SECRET, build.workspace("token"));
            List<String> said = build.recorded();
            assertTrue(said.indexOf("revoked " + one) < said.indexOf("revoked " + two));
            assertTrue(said.contains("step " + one + " ended 0") && said.contains("step " + two + " ended 0"));
            build.leavesNothing();
        }
    }

    @Test
    public void a_block_within_a_block_has_its_own_grant_and_leaves_the_other() throws Exception {
        try (Build build = new Build("token")) {
            build.succeeds("cloudanixElevate(policy: 'p') {\n"
                + "  sh 'echo $CLOUDANIX_GRANT_ID > outer'\n"
                + "  cloudanixElevate(policy: 'q') { sh 'echo $CLOUDANIX_GRANT_ID > inner' }\n"
                + "  sh 'echo $CLOUDANIX_GRANT_ID > after; cat \"$CLOUDANIX_GRANT_TOKEN_FILE\" > token' }");
            assertEquals(build.workspace("outer"), build.workspace("after"));
            assertNotEquals(build.workspace("outer"), build.workspace("inner"));
            assertEquals(Build.SECRET, build.workspace("token"));
            List<String> said = build.recorded();
            assertTrue(said.indexOf("revoked " + build.workspace("inner"))
                < said.indexOf("revoked " + build.workspace("outer")));
            build.leavesNothing();
        }
    }

    @Test
    public void whoever_wipes_the_folder_ends_the_grant() throws Exception {
        try (Build build = new Build("token")) {
            build.succeeds("cloudanixElevate(policy: 'p') {\n"
                + "  sh 'rm -rf \"$WORKSPACE_TMP\"/cloudanix-jit-*'\n"
                + "  sh 'until grep -q ^revoked \"$FAKE_RECORD\"; do sleep 0.05; done' }");
            assertTrue(build.engine().log(), build.engine().log().contains("nothing to give back"));
            build.leavesNothing();
        }
    }
}
