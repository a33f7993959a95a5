// The steps that take a block. Their own code is transformed and saved with the program, like everything else.

def withEnv(List lines, Closure body) { within([env: lines], body) }

def withCredentials(List bindings, Closure body) { within([credentials: bindings], body) }

def timeout(Map limit, Closure body) { within([seconds: limit.time], body) }

def dir(String folder, Closure body) { within([dir: folder], body) }

private within(Map frame, Closure body) {
    enter(frame)
    try {
        return body()
    } finally {
        leave()
    }
}

def parallel(Map branches) { fork(branches) }

// As a pipeline's text has them; what is in `agent`, `options` and so on is not looked at.
def node(String label = '', Closure body) { body() }
def pipeline(Closure body) { body() }
def stages(Closure body) { body() }
def stage(String name, Closure body) { within([env: ["STAGE_NAME=${name}"]], body) }
def steps(Closure body) { body() }
def script(Closure body) { body() }
def agent(Object where) { null }
def options(Closure body) { null }
