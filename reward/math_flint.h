/* reward/math_flint.h: FLINT, Arb and Calcium, wherever this system keeps them.
 *
 * FLINT 3 absorbed Arb and Calcium; before, they were three libraries with folders of
 * their own.
 */
#ifndef REWARD_MATH_FLINT_H
#define REWARD_MATH_FLINT_H

/* clang-format off: the order matters to FLINT */
#include <gmp.h>
#include <flint/flint.h>
#include <flint/fmpz.h>
#include <flint/fmpq.h>
#include <flint/fmpz_mpoly.h>
#if __has_include(<flint/ca.h>)
#include <flint/acb.h>
#include <flint/arb.h>
#include <flint/ca.h>
#include <flint/fmpz_mpoly_q.h>
#else
#include <acb.h>
#include <arb.h>
#include <calcium/ca.h>
#include <calcium/fmpz_mpoly_q.h>
#endif
/* clang-format on */

#endif
