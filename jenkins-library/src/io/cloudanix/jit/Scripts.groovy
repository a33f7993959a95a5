package io.cloudanix.jit

import com.cloudbees.groovy.cps.NonCPS

/** How do several files reach the agent in one step? At the head of the script that uses them. */
class Scripts implements Serializable {

    private static final long serialVersionUID = 1L

    /** With `#!`, because Jenkins would have the shell print every command otherwise. */
    @NonCPS
    static String shell(Map<String, String> files, String main) {
        String head = '''#!/bin/sh
set -eu
umask 077
mkdir -p "${CLOUDANIX_JIT_FOLDER%/*}"
mkdir "$CLOUDANIX_JIT_FOLDER"
'''
        String written = files.collect { name, text ->
            "cat >\"\$CLOUDANIX_JIT_FOLDER/${name}\" <<'end of ${name}'\n${text}end of ${name}\n"
        }.join('')
        return head + written + main
    }

    @NonCPS
    static String powershell(Map<String, String> files, String main) {
        String head = '''$ErrorActionPreference = 'Stop'
$null = New-Item -ItemType Directory -Force -Path (Split-Path $env:CLOUDANIX_JIT_FOLDER)
$null = New-Item -ItemType Directory -Path $env:CLOUDANIX_JIT_FOLDER
$me = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$null = icacls $env:CLOUDANIX_JIT_FOLDER /inheritance:r /grant:r "*${me}:(OI)(CI)F"
'''
        String written = files.collect { name, text ->
            "Set-Content -Encoding UTF8 -Path \"\$env:CLOUDANIX_JIT_FOLDER\\${name}\" -Value @'\n${text}'@\n"
        }.join('')
        return head + written + main
    }

}
