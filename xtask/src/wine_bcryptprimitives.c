/* Which random bytes does a Rust program get under a Wine that is older than it?
 *
 * Rust's standard library asks bcryptprimitives.dll, which Wine 8 (Debian 12) does not have. This one, put beside
 * the program for the check only, asks the system's older source. It is never shipped.
 */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
    while (length > 0) {
        ULONG part = length > 0x10000 ? 0x10000 : (ULONG)length;
        if (!SystemFunction036(bytes, part))
            return FALSE;
        bytes += part;
        length -= part;
    }
    return TRUE;
}
