package io.cloudanix.jit

import com.cloudbees.groovy.cps.NonCPS

/** What the steps of a block are told: where their credentials are, and never a credential. */
class Handed implements Serializable {

    private static final long serialVersionUID = 1L

    /** Jenkins writes what `withEnv` is given to the controller's disk, so nothing else may pass. */
    private static final List<String> OPEN = [
        'CLOUDANIX_GRANT_ID', 'CLOUDANIX_GRANT_TOKEN_FILE', 'AWS_SHARED_CREDENTIALS_FILE',
        'AWS_CONTAINER_CREDENTIALS_FULL_URI', 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE', 'AWS_EC2_METADATA_DISABLED',
        'AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_CSM_ENABLED', 'AWS_CSM_HOST', 'AWS_CSM_PORT', 'AWS_CSM_CLIENT_ID',
    ]

    /** The lines of `elevate.sh` that may be passed on; one that only takes a variable away always may. */
    @NonCPS
    static List<String> environment(String lines) {
        return lines.readLines()*.trim().findAll { line ->
            line.endsWith('=') || OPEN.contains(line.takeWhile { letter -> letter != '=' })
        }
    }

}
