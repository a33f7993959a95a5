import io.cloudanix.jit.Handed
import io.cloudanix.jit.Inputs
import io.cloudanix.jit.Scripts
import org.jenkinsci.plugins.workflow.steps.FlowInterruptedException

/**
 * Runs a block of steps with a grant that begins before it and ends with it; see cloudanixElevate.txt.
 *
 * All that Jenkins keeps of a build on its own disk (variables here, arguments of steps) is free of credentials:
 * they are in files on the agent, and only the paths of these are known here.
 */
def call(Map inputs = [:], Closure body) {
    String problem = Inputs.problem(inputs)
    if (problem != null) {
        error("cloudanixElevate: ${problem}")
    }
    if (!env.WORKSPACE_TMP) {
        error('cloudanixElevate: there is no agent here: put it inside of `node { … }`, or below `agent any`')
    }
    // Known before the grant is requested: it can be revoked whatever becomes of the answer.
    String folder = "${env.WORKSPACE_TMP}/cloudanix-jit-${UUID.randomUUID()}"
    boolean finished = false
    try {
        String handed = elevate(inputs, folder)
        def result = withEnv(Handed.environment(handed)) {
            body()
        }
        finished = true
        return result
    } finally {
        giveBack(folder, finished)
    }
}

private String elevate(Map inputs, String folder) {
    String authToken = inputs.authTokenCredentialsId ?: Inputs.AUTH_TOKEN
    String oidc = inputs.oidcCredentialsId ?: Inputs.OIDC
    String handed = ''
    withEnv(Inputs.environment(inputs) + ["CLOUDANIX_JIT_FOLDER=${folder}" as String]) {
        // Around this step alone: the block's own steps never see them, and no process that shows them is left.
        withCredentials([
            string(credentialsId: authToken, variable: 'CLOUDANIX_AUTH_TOKEN'),
            file(credentialsId: oidc, variable: 'CLOUDANIX_OIDC_TOKEN_FILE'),
        ]) {
            String at = 'io/cloudanix/jit'
            if (isUnix()) {
                String script = Scripts.shell([
                    'fetch.sh': libraryResource("${at}/fetch.sh"),
                    'hold.sh': libraryResource("${at}/hold.sh"),
                ], libraryResource("${at}/elevate.sh"))
                handed = sh(label: 'cloudanix-jit: elevate', script: script, returnStdout: true)
            } else {
                String script = Scripts.powershell([
                    'fetch.ps1': libraryResource("${at}/fetch.ps1"),
                    'run.ps1': libraryResource("${at}/run.ps1"),
                    'hold.ps1': libraryResource("${at}/hold.ps1"),
                ], libraryResource("${at}/elevate.ps1"))
                handed = powershell(label: 'cloudanix-jit: elevate', script: script, returnStdout: true)
            }
        }
    }
    return handed
}

/** Warns when it does not work: it must not fail a build, nor hide why one has failed. The broker does the rest. */
private void giveBack(String folder, boolean finished) {
    int limit = 30
    long since = new Date().time
    try {
        timeout(time: limit, unit: 'SECONDS') {
            withEnv(["CLOUDANIX_JIT_FOLDER=${folder}" as String]) {
                if (isUnix()) {
                    sh(label: 'cloudanix-jit: revoke', script: libraryResource('io/cloudanix/jit/revoke.sh'))
                } else {
                    powershell(label: 'cloudanix-jit: revoke', script: libraryResource('io/cloudanix/jit/revoke.ps1'))
                }
            }
        }
    } catch (FlowInterruptedException interrupted) {
        echo('cloudanix-jit: no process waited for the revoke; the broker ends the grant when its holder is gone')
        // A user's abort and not our own limit: it counts, unless the block has thrown something already.
        if (finished && new Date().time - since < limit * 1000) {
            throw interrupted
        }
    } catch (Exception failed) {
        echo("cloudanix-jit: the grant was not revoked from here: ${failed.message}")
        echo('cloudanix-jit: the broker ends it when its holder is gone, and at its deadline in any case')
    }
}
