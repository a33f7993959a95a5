package io.cloudanix.jit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Test;

/** Does what is written in a Jenkinsfile do what it says, and is what is wrong in it told? */
public class InputsTest {
    private static String refusal(String call) throws Exception {
        return refused(call + " { sh 'touch ran' }");
    }

    private static String refused(String pipeline) throws Exception {
        try (Build build = new Build("token")) {
            String message = build.fails(pipeline).getMessage();
            assertEquals(List.of(), build.recorded());
            return message;
        }
    }

    @Test
    public void an_input_that_is_not_there_is_refused_with_those_that_are() throws Exception {
        String message = refusal("cloudanixElevate(polices: 'p')");
        assertTrue(message, message.contains("no input `polices`") && message.contains("`policy`"));
    }

    @Test
    public void a_policy_has_to_be_named() throws Exception {
        assertTrue(refusal("cloudanixElevate()").contains("no policy is named"));
    }

    @Test
    public void an_input_is_one_line() throws Exception {
        assertTrue(refusal("cloudanixElevate(policy: 'p', reason: 'a\\nb')").contains("more than one line"));
    }

    @Test
    public void a_credential_that_jenkins_does_not_know_is_named() throws Exception {
        assertTrue(refusal("cloudanixElevate(policy: 'p', authTokenCredentialsId: 'x')").contains("'x'"));
    }

    @Test
    public void without_an_agent_it_says_so() throws Exception {
        String message = refused("withEnv(['WORKSPACE_TMP=']) { cloudanixElevate(policy: 'p') { sh 'true' } }");
        assertTrue(message, message.contains("there is no agent here"));
    }

    @Test
    public void every_example_runs() throws Exception {
        List<Path> examples;
        try (Stream<Path> files = Files.list(Path.of("examples"))) {
            examples = files.sorted().collect(Collectors.toList());
        }
        assertTrue("examples", examples.size() >= 3);
        for (Path example : examples) {
            run(example);
        }
    }

    private static void run(Path example) throws Exception {
        try (Build build = new Build("held")) {
            build.tool("aws", "#!/bin/sh\necho \"$CLOUDANIX_GRANT_ID aws $*\" >>\"$WORKSPACE/deployed\"\n");
            build.tool("make", "#!/bin/sh\ntrue\n");
            build.succeeds(Files.readString(example));
            String deployed = build.workspace("deployed");
            assertTrue(deployed, deployed.lines().allMatch(line -> line.startsWith("elev-")));
            assertTrue(deployed, deployed.contains("ecs update-service"));
            long elevated = build.story().stream().filter(line -> line.equals("elevated")).count();
            long revoked = build.story().stream().filter(line -> line.equals("revoked")).count();
            assertEquals(example.toString(), elevated, revoked);
            build.leavesNothing();
        }
    }
}
