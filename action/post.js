// Revokes a grant that the main half of this step may have left. Never fails the job.
'use strict'

const fs = require('node:fs')
const { annotate, state, summarise } = require('./github.js')
const { ask, call, complaint, resume, stateFile, stateOf } = require('./client.js')

async function post() {
  const client = resume()
  if (!client) return
  const { grant_id: grant = state('grant'), end } = stateOf(client)
  // The handle was written before the broker was asked: it also revokes a grant whose answer was lost.
  if (fs.existsSync(stateFile(client)) && !end?.revoked) {
    // A `run` that has ended has left a process that tries for longer.
    const patience = end ? ['--timeout=10s'] : []
    const revoke = ['revoke', `--state=${stateFile(client)}`, ...patience]
    const { code, said } = await call(client, revoke, { stderr: 'heard' })
    if (code !== 0) {
      const why = complaint(said) || `cloudanix-jit ended with code ${code}`
      return annotate('warning', `the grant ${grant} could not be revoked, and lives until its deadline: ${why}`)
    }
  }
  const timeline = grant && ask(client, ['timeline', grant], 10_000)
  if (timeline) summarise(`Grant \`${grant}\``, timeline)
  fs.rmSync(client.folder, { recursive: true, force: true })
}

post().catch((error) => annotate('warning', error.message))
