package hudson;

import java.io.IOException;

/** Stands in for Jenkins' own class of this name: a step has failed, and the message says all. */
public class AbortException extends IOException {
    private static final long serialVersionUID = 1L;

    public AbortException(String message) {
        super(message);
    }
}
