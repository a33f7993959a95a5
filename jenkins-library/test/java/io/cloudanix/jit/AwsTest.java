package io.cloudanix.jit;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.Test;

/** What of a grant for AWS reaches the steps, in which way? */
public class AwsTest {
    private static List<String> given(Build build) throws Exception {
        build.agent.put("AWS_ACCESS_KEY_ID", "AKIAOFTHEAGENT");
        build.agent.put("AWS_SECRET_ACCESS_KEY", "the agent's own, which is not ours to hand on");
        build.agent.put("AWS_PROFILE", "of-the-agent");
        build.succeeds("cloudanixElevate(policy: 'p', awsCredentials: 'endpoint', liveActions: false) {\n"
            + "  sh 'env | grep ^AWS_ | sort > aws; [ ! -e \"$AWS_SHARED_CREDENTIALS_FILE\" ] || "
            + "cat \"$AWS_SHARED_CREDENTIALS_FILE\" > keys'\n"
            + "  sh '[ -z \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\" ] || "
            + "cat \"$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE\" > endpoint' }");
        assertTrue(build.recorded().contains("argument --aws-credentials=endpoint"));
        assertTrue(build.recorded().contains("argument --no-live-actions"));
        build.leavesNothing();
        return build.workspace("aws").lines().map(line -> line.replaceAll("=/.*/cloudanix-jit-[^/]*/", "=…/"))
            .map(line -> line.replaceAll("elev-\\d+", "elev-1")).collect(Collectors.toList());
    }

    private static final List<String> IN_EVERY_SESSION = List.of(
        "AWS_CSM_CLIENT_ID=elev-1", "AWS_CSM_ENABLED=true", "AWS_CSM_HOST=127.0.0.1", "AWS_CSM_PORT=31000",
        "AWS_DEFAULT_REGION=eu-west-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=eu-west-1");

    private static List<String> with(String... more) {
        List<String> all = new ArrayList<>(IN_EVERY_SESSION);
        all.addAll(List.of(more));
        return all.stream().sorted().collect(Collectors.toList());
    }

    @Test
    public void keys_are_in_a_file_and_what_the_agent_has_is_out_of_the_way() throws Exception {
        try (Build build = new Build("keys")) {
            assertEquals(with("AWS_SHARED_CREDENTIALS_FILE=…/aws-credentials"), given(build));
            assertEquals("[default]\naws_access_key_id = ASIAGRANT\naws_secret_access_key = " + Build.SECRET
                + "\naws_session_token = " + Build.SECRET + "-session", build.workspace("keys"));
        }
    }

    @Test
    public void the_endpoints_token_is_in_a_file_and_no_key_is_anywhere() throws Exception {
        try (Build build = new Build("endpoint")) {
            assertEquals(with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=…/aws-endpoint-token",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:31001/keys",
                "AWS_SHARED_CREDENTIALS_FILE=/dev/null"), given(build));
            assertEquals(Build.SECRET, build.workspace("endpoint"));
        }
    }

    @Test
    public void a_role_that_the_agent_has_already_is_used_as_it_is() throws Exception {
        try (Build build = new Build("held")) {
            assertEquals(List.of("AWS_ACCESS_KEY_ID=AKIAOFTHEAGENT", "AWS_PROFILE=of-the-agent",
                "AWS_SECRET_ACCESS_KEY=the agent's own, which is not ours to hand on"), given(build));
            assertFalse(build.home.resolve("workspace/endpoint").toFile().exists());
        }
    }
}
