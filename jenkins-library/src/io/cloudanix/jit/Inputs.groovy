package io.cloudanix.jit

import com.cloudbees.groovy.cps.NonCPS

/** What can be said in the parentheses of `cloudanixElevate`, and what the scripts on the agent know it by. */
class Inputs implements Serializable {

    private static final long serialVersionUID = 1L

    /** The credential in Jenkins with the agent's auth token, when none is named. */
    static final String AUTH_TOKEN = 'cloudanix-auth-token'

    /** The credential in Jenkins from which the build's OIDC token comes, when none is named. */
    static final String OIDC = 'cloudanix-oidc'

    private static final Map<String, String> VARIABLES = [
        policy: 'CLOUDANIX_JIT_POLICY',
        ttl: 'CLOUDANIX_JIT_TTL',
        url: 'CLOUDANIX_URL',
        agentId: 'CLOUDANIX_AGENT_ID',
        audience: 'CLOUDANIX_AUDIENCE',
        target: 'CLOUDANIX_JIT_TARGET',
        reason: 'CLOUDANIX_JIT_REASON',
        timeout: 'CLOUDANIX_JIT_TIMEOUT',
        wait: 'CLOUDANIX_JIT_WAIT',
        awsCredentials: 'CLOUDANIX_JIT_AWS_CREDENTIALS',
        liveActions: 'CLOUDANIX_JIT_LIVE_ACTIONS',
        observe: 'CLOUDANIX_JIT_OBSERVE',
        caFile: 'CLOUDANIX_CA_FILE',
        version: 'CLOUDANIX_JIT_VERSION',
        sha256: 'CLOUDANIX_JIT_SHA256',
        mirror: 'CLOUDANIX_JIT_MIRROR',
        binary: 'CLOUDANIX_JIT_BINARY',
    ]

    private static final List<String> CREDENTIALS = ['authTokenCredentialsId', 'oidcCredentialsId']

    private static final Map<String, String> DEFAULTS = [
        ttl: '15m',
        audience: 'cloudanix-jit',
        target: '',
        reason: '',
        timeout: '60s',
        wait: '10m',
        awsCredentials: 'auto',
        liveActions: 'true',
        observe: 'false',
    ]

    /** What is wrong with these inputs and what to do, or nothing. */
    @NonCPS
    static String problem(Map inputs) {
        List<String> known = (VARIABLES.keySet() as List) + CREDENTIALS
        String unknown = inputs.keySet().find { name -> !known.contains(name as String) }
        if (unknown != null) {
            return "there is no input `${unknown}`: expected one of ${known.collect { "`${it}`" }.join(', ')}"
        }
        if (!inputs.policy) {
            return "no policy is named: write `cloudanixElevate(policy: '…', ttl: '15m') { … }`"
        }
        String many = inputs.keySet().find { name -> "${inputs[name]}".contains('\n') }
        return many == null ? null : "the input `${many}` has more than one line"
    }

    /** `NAME=value` for each; what was not said and has no default is left as it is on the agent. */
    @NonCPS
    static List<String> environment(Map inputs) {
        Map said = DEFAULTS + inputs
        return VARIABLES.findAll { name, variable -> said[name] != null }
            .collect { name, variable -> "${variable}=${said[name]}" as String }
    }

}
