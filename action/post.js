// Gives back what the main half of this step may have left. Never fails the job.
'use strict'

const fs = require('node:fs')
const { annotate, summarise } = require('./github.js')
const { ask, call, complaint, grantFile, resume, stateFile } = require('./client.js')

async function post() {
  const client = resume()
  if (!client) return
  const grant = fs.existsSync(grantFile(client)) ? fs.readFileSync(grantFile(client), 'utf8') : ''
  // The handle was written before the broker was asked: it also gives back a grant that nobody heard of.
  const handle = fs.existsSync(stateFile(client)) ? `--state=${stateFile(client)}` : ''
  if (handle || grant) {
    const result = await call(client, ['revoke', handle || grant])
    if (result.code !== 0) {
      const why = complaint(result.said) || `cloudanix-jit ended with code ${result.code}`
      return annotate('warning', `the grant ${grant} could not be given back, and lives until its deadline: ${why}`)
    }
  }
  const timeline = grant && ask(client, ['timeline', grant], 10_000)
  if (timeline) summarise(`Grant \`${grant}\``, timeline)
  fs.rmSync(client.folder, { recursive: true, force: true })
}

post().catch((error) => annotate('warning', error.message))
