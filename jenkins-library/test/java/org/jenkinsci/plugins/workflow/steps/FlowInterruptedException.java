package org.jenkinsci.plugins.workflow.steps;

/** Stands in for the class of this name in the plugin workflow-step-api: somebody, or a `timeout`, ends a step. */
public final class FlowInterruptedException extends InterruptedException {
    private static final long serialVersionUID = 1L;

    private final String cause;

    public FlowInterruptedException(String cause) {
        this.cause = cause;
    }

    /** For tests; the library cannot ask, because a sandbox would refuse it. */
    public String why() {
        return cause;
    }
}
