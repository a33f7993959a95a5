package io.cloudanix.jit.engine;

import com.cloudbees.groovy.cps.sandbox.DefaultInvoker;
import java.util.Date;

/** Time as a pipeline sees it, which may go faster than ours. */
final class Clock extends DefaultInvoker {
    private static final long serialVersionUID = 1L;

    @Override
    public Object constructorCall(Class made, Object[] arguments) throws Throwable {
        if (made == Date.class && arguments.length == 0) {
            return new Date(Engine.current().now());
        }
        return super.constructorCall(made, arguments);
    }
}
